# SPDX-License-Identifier: GPL-2.0-or-later
"""An image as others open it: readelf (binutils) and makedumpfile, which finds A's log and A's page
structures in it by VMCOREINFO.

Debian's crash wants debugging data in vmlinux, which these kernels are built without.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from harness.context import RunContext
from harness.jump.debian_tree import debian_tree, host_command
from harness.oracles.vmcore import Vmcore
from harness.results import Check, Finding

ORACLE = "vmcore-tools"
STAGE = "tools"
# makedumpfile reads images of the architecture that it was built for.
_PACKAGES = (
    "makedumpfile libc6 libdw1 libelf1 zlib1g liblzo2-2 libsnappy1v5 libzstd1 libbz2-1.0 liblzma5 "
    "libstdc++6 libgcc-s1"
).split()
_LIMIT = 120  # seconds


class ToolChecks:
    """``kept``: A's log from the image before."""

    def __init__(self, context: RunContext, life: int) -> None:
        self._context = context
        self._life = life
        self._kept = ""

    def open(self, core: Vmcore, number: int, nonce: str) -> list[Check]:
        """``nonce``: on A's command line, with which its log begins."""
        with tempfile.TemporaryDirectory(dir=self._context.folder) as folder:
            scratch = Path(folder)
            log, text = self._log(core, number, nonce, scratch)
            return [self._readelf(core, number), log, self._filter(core, number, scratch, text)]

    def _readelf(self, core: Vmcore, number: int) -> Check:
        check = Check(f"readelf reads the image, snapshot {number}", ORACLE, True, cycle=number)
        done = _run(["readelf", "-lhnW", str(core.path)])
        loads = sum(line.split()[:1] == ["LOAD"] for line in done.stdout.splitlines())
        check.compared = loads
        problems = []
        if done.returncode != 0 or done.stderr:
            problems.append(f"readelf: exit status {done.returncode}: {done.stderr.strip()[:200]}")
        if loads != len(core.stretches):
            problems.append(f"readelf: expected {len(core.stretches)} LOAD headers, found {loads}")
        problems += [
            f"readelf: {wanted!r} is not in what it prints"
            for wanted in ("ELF64", "CORE (Core file)", "VMCOREINFO")
            if wanted not in done.stdout
        ]
        return self._judge(check, problems)

    def _log(self, core: Vmcore, number: int, nonce: str, scratch: Path) -> tuple[Check, str]:
        name = f"makedumpfile finds A's log in the image, snapshot {number}"
        check = Check(name, ORACLE, True, cycle=number)
        path = scratch / "dmesg"
        problems = self._makedumpfile("--dump-dmesg", str(core.path), str(path))
        text = "" if problems else path.read_text(errors="replace")
        check.compared = text.count("\n")
        for wanted in (f"Linux version {self._context.kernel.release} ", f"jumpback.life={nonce}"):
            if wanted not in text:
                problems.append(f"A's log in the image: {wanted!r} is not in it")
        # The kernel's buffer is longer than what it says in a run.
        if not text.startswith(self._kept) or text == self._kept:
            problems.append("A's log in the image is not that of the image before, and more")
        self._kept = text
        return self._judge(check, problems), text

    def _filter(self, core: Vmcore, number: int, scratch: Path, text: str) -> Check:
        """Without free, cache, user and zero pages: that takes the page structures. What is left
        still has the log."""
        name = f"makedumpfile filters the image, snapshot {number}"
        check = Check(name, ORACLE, True, cycle=number)
        small, path = scratch / "filtered", scratch / "dmesg-filtered"
        problems = self._makedumpfile("-E", "-d", "31", str(core.path), str(small))
        problems = problems or self._makedumpfile("--dump-dmesg", str(small), str(path))
        if not problems:
            check.compared = 1
            check.detail = f"{small.stat().st_size} bytes"
            if path.read_text(errors="replace") != text:
                problems.append("A's log in the filtered image differs from that in the image")
        return self._judge(check, problems)

    def _makedumpfile(self, *words: str) -> list[str]:
        arch = self._context.kernel.arch
        command = ["makedumpfile"]
        if arch != "x86_64" or shutil.which(command[0]) is None:
            tree = debian_tree(_PACKAGES, arch, self._context.progress)
            command = host_command(tree, arch, "usr/bin/makedumpfile")
        done = _run([*command, *words])
        if done.returncode == 0:
            return []
        said = " ".join((done.stdout + done.stderr).split())[-300:]
        return [f"makedumpfile {words[0]}: exit status {done.returncode}: {said}"]

    def _judge(self, check: Check, problems: list[str]) -> Check:
        check.passed = not problems
        check.detail = problems[0] if problems else check.detail
        check.findings = [
            Finding(ORACLE, STAGE, problem, cycle=check.cycle, life=self._life)
            for problem in problems
        ]
        return check


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 124, "", f"not done after {_LIMIT} s")
