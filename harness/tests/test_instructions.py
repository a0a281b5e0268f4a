# SPDX-License-Identifier: GPL-2.0-or-later
"""The plugin that counts instructions, on a firmware of which we know how many it executes."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.errors import UsageError
from harness.jump.instructions import InstructionCount
from harness.machine import MachineConfig
from harness.machine.config import QEMU

ROUNDS = 300_000


def firmware(path: Path) -> Path:
    """Real mode: counts down ROUNDS, then ends QEMU by isa-debug-exit."""
    code = b"\x66\xb9" + ROUNDS.to_bytes(4, "little")  # mov ecx, ROUNDS
    code += b"\x66\x49" + b"\x75\xfc"  # dec ecx; jnz back to it
    code += b"\xb0\x00" + b"\xe6\xf4" + b"\xf4"  # mov al, 0; out 0xf4, al; hlt
    reset = b"\xe9" + (0x10000 - 0xFFF3).to_bytes(2, "little")  # jmp to the segment's start
    path.write_bytes(code.ljust(0xFFF0, b"\x90") + reset.ljust(16, b"\x90"))
    return path


def context(folder: Path, accelerator: str = "tcg") -> Any:
    return cast(Any, SimpleNamespace(folder=folder, accelerator=accelerator))


@pytest.mark.boots
def test_each_instruction_is_counted_once(tmp_path: Path) -> None:
    counter = InstructionCount(context(tmp_path))
    words = counter.config(MachineConfig(bzimage=tmp_path / "none")).extra_args
    rom = firmware(tmp_path / "rom")
    done = subprocess.run(
        [QEMU, "-nodefaults", "-display", "none", "-machine", "pc", "-bios", str(rom)]
        + ["-device", "isa-debug-exit,iobase=0xf4,iosize=4", *words],
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 1, done.stderr  # 2 * 0 + 1: what isa-debug-exit makes of the byte
    # jmp, mov, the rounds, mov, out; hlt, as it ends the block that is left at the out.
    assert 2 * ROUNDS + 4 <= counter.read() <= 2 * ROUNDS + 5
    counter.close()
    assert not list(tmp_path.glob("instructions"))


def test_kvm_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="KVM cannot"):
        InstructionCount(context(tmp_path, "kvm"))
