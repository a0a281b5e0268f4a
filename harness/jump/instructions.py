# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts the guest's instructions, by a plugin of QEMU's TCG (vm/plugin/insn_count.c)."""

from __future__ import annotations

import dataclasses
import mmap
from pathlib import Path

import jumpback_vm

from harness.context import RunContext
from harness.errors import InfraError, UsageError
from harness.machine import MachineConfig

_MODULE = Path(jumpback_vm.__file__).with_name("jumpback_insn_count.so")


class InstructionCount:
    """Of one machine. What is counted how: at the plugin's top."""

    def __init__(self, context: RunContext) -> None:
        if context.accelerator != "tcg":
            raise UsageError("--count-instructions: QEMU's TCG can count them, KVM cannot")
        if not _MODULE.exists():
            raise InfraError(f"{_MODULE} is not built: cmake --build of the target jumpback_native")
        self._path = context.folder / "instructions"
        self._path.write_bytes(bytes(8))
        with self._path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 8)

    def config(self, config: MachineConfig) -> MachineConfig:
        """The machine with the plugin in it."""
        # A comma in an option list is doubled.
        module, out = (str(path).replace(",", ",,") for path in (_MODULE, self._path))
        words = ("-plugin", f"file={module},out={out}")
        return dataclasses.replace(config, extra_args=(*config.extra_args, *words))

    def read(self) -> int:
        """Since the machine began; the guest must stand still."""
        return int.from_bytes(self._map[:8], "little")

    def close(self) -> None:
        self._map.close()
        self._path.unlink(missing_ok=True)
