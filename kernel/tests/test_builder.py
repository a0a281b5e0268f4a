# SPDX-License-Identifier: GPL-2.0-or-later
"""The builder on a miniature source package; see fake_kernel.py."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from kernel import builder, make
from kernel.catalogue import find
from kernel.errors import ConfigError, KernelBuildError, KernelError, PatchError
from kernel.progress import Silent
from kernel.tests.fake_kernel import FakeKernel

REPOSITORY = Path(__file__).resolve().parents[2]
LIMIT = 20  # seconds for anything that should take a fraction of one
BUILDER = """
import sys
from pathlib import Path
from kernel import builder, make
from kernel.cache import Cache
from kernel.catalogue import Row
row = Row("9.9", "x86_64", "linux-source-9.9", ("testing",), (Path(sys.argv[2]),), ())
print(builder.build(row, cache=Cache(Path(sys.argv[1]))).key)
"""
PATCH = """\
--- a/greeting
+++ b/greeting
@@ -1 +1 @@
-{old}
+{new}
"""


def start_builder(fake: FakeKernel) -> subprocess.Popen[str]:
    fragment = fake.row().fragments[0]
    command = [sys.executable, "-c", BUILDER, str(fake.cache.root), str(fragment)]
    return subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, f"not within {LIMIT} s: {what}"
        time.sleep(0.01)


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before or while it is read
        return False


def leftovers(fake: FakeKernel) -> list[Path]:
    return sorted((fake.cache.root / "tmp").iterdir())


def test_build_keeps_what_is_needed_and_no_more(fake: FakeKernel) -> None:
    fake.put_package()
    kernel = builder.build(fake.row(), cache=fake.cache)
    assert (kernel.version, kernel.arch, kernel.release) == ("9.9", "x86_64", "9.9.1-jumpback")
    assert kernel.source_version == "9.9.1-1"
    assert kernel.bzimage.read_text() == "bzImage for x86_64\n"
    assert kernel.vmlinux.read_text() == "hello\n"
    assert kernel.config and kernel.config.read_text() == "CONFIG_TINY=y\nCONFIG_SWAP=y\n"
    kept = {path.name for path in kernel.bzimage.parent.iterdir()}
    assert kept == {"bzImage", "vmlinux", "config", "System.map", "meta.json"}
    assert leftovers(fake) == []


def test_second_build_is_a_look_into_the_cache(fake: FakeKernel) -> None:
    package = fake.put_package()
    first = builder.build(fake.row(), cache=fake.cache)
    package.unlink()  # not even the package is needed
    assert builder.build(fake.row(), cache=fake.cache) == first
    assert fake.runs == 1


def test_changed_input_builds_anew_beside_the_old_one(fake: FakeKernel) -> None:
    fake.put_package()
    first = builder.build(fake.row(), cache=fake.cache)
    second = builder.build(fake.row("CONFIG_SWAP=y\nCONFIG_MORE=y\n"), cache=fake.cache)
    assert first.key != second.key
    assert first.bzimage.exists() and second.bzimage.exists()
    assert fake.runs == 2


def test_two_processes_build_once(fake: FakeKernel) -> None:
    fake.put_package(pause="sleep 0.5")
    processes = [start_builder(fake), start_builder(fake)]
    keys = {process.communicate(timeout=LIMIT)[0] for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    assert len(keys) == 1
    assert fake.runs == 1


def test_a_kernel_is_built_while_the_source_is_in_use(fake: FakeKernel) -> None:
    fake.put_package()
    builder.build(fake.row(), cache=fake.cache)
    (source,) = (fake.cache.root / "sources").iterdir()
    with fake.cache.lock(f"source-{source.name}", shared=True):
        second = builder.build(fake.row("CONFIG_SWAP=y\nCONFIG_MORE=y\n"), cache=fake.cache)
    assert second.bzimage.exists()


@pytest.fixture
def stuck(fake: FakeKernel) -> Iterator[tuple[FakeKernel, subprocess.Popen[str], int]]:
    """A build in another process that never ends, and the process id of make's child in it."""
    pid_file = fake.witness / "pid"
    fake.put_package(pause=f"echo $$$$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 600")
    with start_builder(fake) as process:
        try:
            wait_until(pid_file.exists, "the build reaches its middle")
            yield fake, process, int(pid_file.read_text())
        finally:
            process.kill()


def assert_builds_again(fake: FakeKernel) -> None:
    fake.put_package(version="9.9.1-2")
    assert builder.build(fake.row(), cache=fake.cache).bzimage.exists()
    assert leftovers(fake) == []
    assert len(list((fake.cache.root / "kernels").iterdir())) == 1


def test_interrupt_ends_make_and_leaves_nothing(
    stuck: tuple[FakeKernel, subprocess.Popen[str], int]
) -> None:
    fake, process, child = stuck
    process.send_signal(signal.SIGINT)
    process.wait(LIMIT)
    assert not running(child)
    assert leftovers(fake) == []
    assert list((fake.cache.root / "kernels").iterdir()) == []
    assert_builds_again(fake)


def test_interrupt_in_a_process_that_lives_on_ends_make(fake: FakeKernel) -> None:
    pid_file = fake.witness / "pid"
    fake.put_package(pause=f"echo $$$$ > {pid_file}.new; mv {pid_file}.new {pid_file}; sleep 40")

    class Interrupter(Silent):
        def update(self, done: int, text: str = "") -> None:
            wait_until(pid_file.exists, "the build reaches its middle")
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        builder.build(fake.row(), progress=Interrupter(), cache=fake.cache)
    assert time.monotonic() - started < LIMIT
    assert not running(int(pid_file.read_text()))
    assert leftovers(fake) == []


def test_kill_leaves_nothing_half_made(
    stuck: tuple[FakeKernel, subprocess.Popen[str], int]
) -> None:
    fake, process, child = stuck
    process.kill()
    process.wait(LIMIT)
    wait_until(lambda: not running(child), "make's child is gone after its builder was killed")
    assert list((fake.cache.root / "kernels").iterdir()) == []
    assert_builds_again(fake)


def test_building_is_seen_from_outside(
    stuck: tuple[FakeKernel, subprocess.Popen[str], int]
) -> None:
    fake, process, _ = stuck
    assert builder.building(fake.row(), fake.cache)
    process.kill()
    process.wait(LIMIT)
    assert not builder.building(fake.row(), fake.cache)


def test_failed_build_shows_the_end_of_its_log(fake: FakeKernel) -> None:
    fake.put_package(pause="echo main.c:1: no such thing; false")
    with pytest.raises(KernelBuildError, match="main.c:1: no such thing") as caught:
        builder.build(fake.row(), cache=fake.cache)
    assert "  CC      init/main.o" in caught.value.log.read_text()
    assert list((fake.cache.root / "kernels").iterdir()) == []
    assert leftovers(fake) == []


def test_missing_tools_are_named_all_at_once(
    fake: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.put_package()
    monkeypatch.setitem(make.TOOLS, "no-such-tool", "some-package")
    monkeypatch.setitem(make.TOOLS, "/usr/include/no-such.h", "other-dev")
    with pytest.raises(KernelError, match="apt-get install other-dev some-package$"):
        builder.build(fake.row(), cache=fake.cache)
    assert fake.runs == 0


def test_lost_option_is_named(fake: FakeKernel) -> None:
    fake.put_package()
    with pytest.raises(ConfigError, match="fake.config:2: CONFIG_NO_SUCH=y became n"):
        builder.build(fake.row("CONFIG_SWAP=y\nCONFIG_NO_SUCH=y\n"), cache=fake.cache)
    assert fake.runs == 0


def test_series_is_applied_in_order(fake: FakeKernel, tmp_path: Path) -> None:
    fake.put_package()
    first, second = tmp_path / "first.patch", tmp_path / "second.patch"
    first.write_text(PATCH.format(old="hello", new="good morning"))
    second.write_text(PATCH.format(old="good morning", new="good night"))
    kernel = builder.build(fake.row(patches=(first, second)), cache=fake.cache)
    assert kernel.vmlinux.read_text() == "good night\n"
    assert kernel.name == "9.9"
    # The source in the cache stays as Debian has it.
    assert builder.build(fake.row(), cache=fake.cache).vmlinux.read_text() == "hello\n"


@pytest.mark.parametrize(
    "text",
    [
        PATCH.format(old="bonjour", new="salut"),
        # Would apply with fuzz: the line is there, a neighbour is another one.
        "--- a/verse\n+++ b/verse\n@@ -1,7 +1,7 @@\n un\n two\n three\n-four\n+vier\n five\n six\n"
        " seven\n",
    ],
    ids=["other line", "other context"],
)
def test_patch_that_does_not_apply_is_named_and_leaves_nothing(
    fake: FakeKernel, tmp_path: Path, text: str
) -> None:
    fake.put_package()
    patch = tmp_path / "wrong.patch"
    patch.write_text(text)
    with pytest.raises(PatchError, match="wrong.patch: patch 1 of 1 does not apply"):
        builder.build(fake.row(patches=(patch,)), cache=fake.cache)
    assert fake.runs == 0
    assert leftovers(fake) == []


def test_stock_and_an_empty_series_are_the_same_bytes_by_two_names(fake: FakeKernel) -> None:
    fake.put_package()
    plain, stock = fake.row(), replace(fake.row(), flavour="stock")
    first, second = (builder.build(row, cache=fake.cache) for row in (plain, stock))
    assert (first.name, second.name) == ("9.9", "9.9-stock")
    assert first.bzimage == second.bzimage and fake.runs == 1


def test_a_patch_that_says_something_else_makes_the_same_kernel(
    fake: FakeKernel, tmp_path: Path
) -> None:
    patch = tmp_path / "better.patch"
    patch.write_text("A word.\n\nFixes-finding: rude\n\n" + PATCH.format(old="hello", new="hi"))
    row = fake.row(patches=(patch,))
    before = builder.cache_key(row, "1", "gcc")
    fake.put_package()
    assert builder.build(row, cache=fake.cache).fixed == {"rude"}
    patch.write_text("Another.\n\n" + PATCH.format(old="hello", new="hi"))
    assert builder.cache_key(row, "1", "gcc") == before
    assert builder.build(row, cache=fake.cache).fixed == frozenset()
    patch.write_text("Another.\n\n" + PATCH.format(old="hello", new="ho"))
    assert builder.cache_key(row, "1", "gcc") != before


def test_environment_does_not_reach_the_build(
    fake: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.put_package()
    for name in ("KCFLAGS", "CROSS_COMPILE", "LOCALVERSION", "ARCH", "MAKEFLAGS"):
        monkeypatch.setenv(name, "w-leaked")
    builder.build(fake.row(), cache=fake.cache)
    seen = (fake.witness / "environment").read_text()
    assert "leaked" not in seen
    assert "KBUILD_BUILD_TIMESTAMP=Mon Jan  1" in seen


def test_key_changes_with_every_input_and_with_nothing_else(tmp_path: Path) -> None:
    fragment, other, patch = tmp_path / "a.config", tmp_path / "b.config", tmp_path / "a.patch"
    fragment.write_text("CONFIG_A=y\n")
    other.write_text("# only words\n\nCONFIG_A=y\n")
    patch.write_text("one")
    row = replace(find("6.1", "x86_64"), fragments=(fragment,), patches=(patch,))
    key = builder.cache_key(row, "1-1", "gcc 12")
    assert builder.cache_key(replace(row, fragments=(other,)), "1-1", "gcc 12") == key
    assert builder.cache_key(replace(row, suites=("sid",)), "1-1", "gcc 12") == key
    keys = {
        key,
        builder.cache_key(row, "1-2", "gcc 12"),
        builder.cache_key(row, "1-1", "gcc 13"),
        builder.cache_key(replace(row, arch="i386"), "1-1", "gcc 12"),
        builder.cache_key(replace(row, package="linux-source-6.2"), "1-1", "gcc 12"),
        builder.cache_key(replace(row, patches=()), "1-1", "gcc 12"),
    }
    fragment.write_text("CONFIG_A=n\n")
    keys.add(builder.cache_key(row, "1-1", "gcc 12"))
    fragment.write_text("CONFIG_A=y\n")
    patch.write_text("two")
    keys.add(builder.cache_key(row, "1-1", "gcc 12"))
    assert len(keys) == 8


def test_format_is_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    row = find("6.1", "x86_64")
    before = builder.cache_key(row, "1-1", "gcc 12")
    monkeypatch.setattr(builder, "FORMAT", builder.FORMAT + 1)
    assert builder.cache_key(row, "1-1", "gcc 12") != before


def test_damaged_cache_entry_says_what_to_remove(fake: FakeKernel) -> None:
    fake.put_package()
    folder = builder.build(fake.row(), cache=fake.cache).bzimage.parent
    (folder / "meta.json").write_text("{")
    with pytest.raises(KernelError, match=f"remove {folder}"):
        builder.build(fake.row(), cache=fake.cache)


class Recorder:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.said: list[tuple[str, object]] = []

    def start(self, title: str, total: int | None) -> None:
        self.said.append((title, total))

    def update(self, done: int, text: str = "") -> None:
        self.said.append((text, done))

    def done(self) -> None:
        self.said.append(("done", None))

    def note(self, text: str) -> None:
        self.said.append(("note", text))


def test_progress_counts_steps_and_knows_the_last_total(fake: FakeKernel) -> None:
    fake.put_package()
    first, second = Recorder(), Recorder()
    kernel = builder.build(fake.row(), progress=first, cache=fake.cache)
    assert ("CC      init/main.o", 1) in first.said and ("LD      vmlinux", 2) in first.said
    assert json.loads((kernel.bzimage.parent / "meta.json").read_text())["steps"] == 2
    assert any(said[0] == "note" and "from the cache" in str(said[1]) for said in first.said)
    builder.build(fake.row("CONFIG_SWAP=y\nCONFIG_B=y\n"), progress=second, cache=fake.cache)
    assert ("Building kernel 9.9-x86_64 (linux-source-9.9 9.9.1-1)", 2) in second.said
    assert os.environ.get("KBUILD_BUILD_USER") is None
