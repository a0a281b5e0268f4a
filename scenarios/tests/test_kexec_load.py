# SPDX-License-Identifier: GPL-2.0-or-later
"""kexec-load on running kernels: the model holds, and each check finds the fault that is put in
for it. What needs no boot is in harness/tests/test_kexec_*.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from scenarios.tests.conftest import Ran

from harness.kexec.tampers import EACH_CHECK, tampers_named
from harness.paths import TREE

# A run takes 5 to 10 s on an idle machine; others may want it at the same time.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(600)]

# What every proved run must have; a check that quietly stops being made is a defect.
CHECKS = {
    "refused calls leave the loaded image alone": 1,
    "calls return what the model says": 2,
    "page lists are well formed": 15,
    "page lists name the segments' destinations": 15,
    "source pages hold the segments' bytes": 15,
    "page lists are those predicted from the allocator's frames": 5,
    "unloading gives back every frame": 1,
    "the kernel's log is clean": 1,
}


@pytest.fixture(name="kexec_load")
def _kexec_load(tmp_path: Path) -> Callable[..., Ran]:
    """Runs `jumpback run kexec-load ARGS --json` with the modules that this test has."""

    def run(*arguments: str) -> Ran:
        out = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        argv = [sys.executable, "-m", "harness", "run", "kexec-load", *arguments]
        answer = subprocess.run(
            [*argv, "--json", "--quiet", "--out", str(out)],
            cwd=TREE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
        )
        assert answer.stdout, f"exit {answer.returncode}, no JSON:\n{answer.stderr}"
        return Ran(answer.returncode, json.loads(answer.stdout), out, answer.stderr)

    return run


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_the_model_holds_on_a_running_kernel(kexec_load: Callable[..., Ran], arch: str) -> None:
    ran = kexec_load("--arch", arch)
    assert ran.document["verdict"] == "PASS" and ran.exit == 0, ran.summary()
    made, compared = Counter[str](), Counter[str]()
    for check in ran.document["checks"]:
        made[check["name"]] += 1
        compared[check["name"]] += check["compared"]
    assert all(made[name] >= count for name, count in CHECKS.items()), made
    assert all(compared[name] > 0 for name in CHECKS), compared
    # The path on which an allocated page is the destination of one that was loaded before.
    assert int(ran.document["properties"]["pages_moved"]) > 0, ran.document["properties"]


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_each_check_finds_the_fault_put_in_for_it(
    kexec_load: Callable[..., Ran], arch: str
) -> None:
    """In one boot; that all the others are found, one by one, needs none but for their hooks."""
    ran = kexec_load("--tamper", EACH_CHECK, "--arch", arch, "--calls", "20")
    assert ran.document["verdict"] == "FAIL" and ran.exit == 1, ran.summary()
    tampers = tampers_named(EACH_CHECK)
    done = ran.document["properties"]["tampered"].split("; ")
    assert len(done) == len(tampers), done
    found = {
        (check["name"], finding["oracle"], finding["stage"])
        for check in ran.document["checks"]
        for finding in check["findings"]
    }
    for tamper in tampers:
        assert any(
            name.startswith(tamper.check) and (oracle, stage) == (tamper.oracle, tamper.stage)
            for name, oracle, stage in found
        ), (tamper.name, ran.summary())
    # Nobody else is blamed, and the fault is seen by each check once, at one load.
    assert {stage for _, _, stage in found} == {tamper.stage for tamper in tampers}, found
    assert {name for name, _, _ in found} == CHECKS.keys()
    assert f"--tamper {EACH_CHECK}" in ran.document["command"]
    assert "--seed" in ran.document["command"]
    # The word that was changed is the word that is named.
    messages = [f"{f['gpa'] or 0:#x} {f['message']}" for f in ran.findings]
    for text in done:
        if text.startswith("word at GPA "):
            place = text.split(":")[0].removeprefix("word at GPA ")
            assert any(message.startswith(place) for message in messages), (place, messages)


def test_a_kernel_that_builds_its_list_wrong_is_found(kexec_load: Callable[..., Ran]) -> None:
    """A real kernel with an off-by-one in kimage_add_entry()."""
    ran = kexec_load("--kernel", "7.2+link-overwrites-last-entry", "--calls", "0")
    assert ran.document["verdict"] == "FAIL", ran.summary()
    first = ran.findings[0]
    assert first["oracle"] == "page-list" and first["stage"] == "load one entry more"
    assert "link" in first["message"] and "list page 0, word 510" in first["owner"]
    # What the lost entries name is never freed.
    assert any("stay reserved" in finding["message"] for finding in ran.findings)
