# SPDX-License-Identifier: GPL-2.0-or-later
"""What the machine takes from the host: processes, RAM files, the accelerator. And gives back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.errors import InfraError, SkipError, UsageError
from harness.machine.accelerator import ENVIRONMENT, choose_accelerator
from harness.machine.process import ChildProcess, describe_status
from harness.machine.ram import GIB, RamFile, RamRange, q35_layout

pytestmark = pytest.mark.timeout(20)


def test_exit_is_told_with_last_words(tmp_path: Path) -> None:
    exits: list[str] = []
    child = ChildProcess(["sh", "-c", "echo gone >&2; exit 3"], tmp_path / "err", [], exits.append)
    assert child.wait(10)
    assert exits == ["exit status 3"] and child.stderr_tail() == "gone"
    child.kill()  # harmless


def test_kill_and_signal_names(tmp_path: Path) -> None:
    exits: list[str] = []
    child = ChildProcess(["sleep", "60"], tmp_path / "err", [], exits.append)
    child.kill()
    assert not child.running and exits == ["killed by SIGKILL"]
    assert describe_status(-11) == "killed by SIGSEGV"
    assert describe_status(-99) == "killed by signal 99"


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(SkipError, match="qemu-system-none is not installed.*qemu-system-x86"):
        ChildProcess(["qemu-system-none"], tmp_path / "err", [], print)
    with pytest.raises(InfraError, match="cannot start true.*none/err"):
        ChildProcess(["true"], tmp_path / "none" / "err", [], print)


PARENT = """
import sys, time
from pathlib import Path
from harness.machine.process import ChildProcess
child = ChildProcess(["sleep", "600"], Path(sys.argv[1]), [], lambda text: None)
print(child.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_child_dies_with_the_rig(tmp_path: Path, number: signal.Signals) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path / "err")],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    deadline = time.monotonic() + 10
    while b"sleep" not in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]:
        assert time.monotonic() < deadline  # setpriv has not become it yet
        time.sleep(0.005)
    parent.send_signal(number)
    parent.wait(10)
    parent.stdout.close()
    while _alive(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not _alive(pid)


def _alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # nobody may be there to reap it


def test_ram_file(tmp_path: Path) -> None:
    ram = RamFile(8 << 20)
    assert ram.path.stat().st_size == 8 << 20
    assert ram.path.stat().st_blocks == 0  # sparse until the guest touches it
    with ram.path.open("r+b") as file:
        file.seek(0x1234)
        file.write(b"abc")
    assert ram.read(0x1233, 5) == b"\0abc\0"
    with pytest.raises(InfraError, match="not RAM"):
        ram.read((8 << 20) - 1, 2)
    ram.close()
    ram.close()


def test_ram_larger_than_the_host_is_refused() -> None:
    with pytest.raises(InfraError, match="use less --memory"):
        RamFile(1 << 60)


@pytest.mark.parametrize(
    ("memory", "ranges"),
    [
        (256 << 20, [RamRange(0, 256 << 20, 0)]),
        (0xB0000000 - (1 << 20), [RamRange(0, 0xB0000000 - (1 << 20), 0)]),
        (0xB0000000, [RamRange(0, 2 * GIB, 0), RamRange(4 * GIB, 0x30000000, 2 * GIB)]),
        (8 * GIB, [RamRange(0, 2 * GIB, 0), RamRange(4 * GIB, 6 * GIB, 2 * GIB)]),
    ],
)
def test_layout(memory: int, ranges: list[RamRange]) -> None:
    assert list(q35_layout(memory)) == ranges


@dataclass
class Probe:
    usable: bool
    line: str


def test_accelerator_by_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)
    good, bad = Probe(True, "fast"), Probe(False, "emulates: 2 M instructions/s")
    assert choose_accelerator("auto", lambda: good) == ("kvm", "fast")
    assert choose_accelerator("auto", lambda: bad) == ("tcg", "emulates: 2 M instructions/s")
    assert choose_accelerator("kvm", lambda: good) == ("kvm", "fast")
    with pytest.raises(SkipError, match="emulates"):
        choose_accelerator("kvm", lambda: bad)


def test_accelerator_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def never() -> Probe:
        raise AssertionError("no probe is needed")

    monkeypatch.setenv(ENVIRONMENT, "tcg")
    assert choose_accelerator("auto", never) == ("tcg", f"by {ENVIRONMENT}")
    assert choose_accelerator("tcg", never) == ("tcg", "asked for")
    with pytest.raises(UsageError, match="tcg, kvm or auto"):
        choose_accelerator("fast", never)
    monkeypatch.setenv(ENVIRONMENT, "nonsense")
    with pytest.raises(UsageError, match=ENVIRONMENT):
        choose_accelerator("auto", never)


def test_missing_module_means_tcg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ENVIRONMENT, raising=False)

    def missing() -> Probe:
        raise ImportError("no jumpback_vm")

    name, reason = choose_accelerator("auto", missing)
    assert name == "tcg" and "not built" in reason
