# SPDX-License-Identifier: GPL-2.0-or-later
"""What a hibernate-disk run can be told, and what follows from it: command line, disks, limits."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.context import RunContext
from harness.errors import SkipError
from harness.faults.tamper import Tamper
from harness.results import LifeOutcome

# Seconds. Generous for TCG on a loaded host; --time-scale multiplies them.
LIMITS = {
    "boot": 60.0,
    "plant": 30.0,
    "save": 60.0,
    "snapshot": 60.0,
    "write-image": 120.0,
    "load-image": 120.0,
    "restore": 60.0,
    "wake": 60.0,
    "check": 60.0,
}

ENDS_IN = {
    "platform": LifeOutcome.POWER_OFF_S4,
    "shutdown": LifeOutcome.POWER_OFF_S5,
    "reboot": LifeOutcome.RESET,
}

SWAP_DEVICE = "/dev/vda"
LOAD_DISK_MIB = 64


@dataclass(frozen=True)
class HibernateOptions:
    mode: str = "shutdown"
    compressor: str = "default"
    cycles: int = 1
    load: str = "none"
    disk_mib: int = 0  # 0: twice the memory
    tamper: Tamper | None = None


class Setup:
    """The machine of one run, as far as the options decide it."""

    def __init__(self, context: RunContext, options: HibernateOptions) -> None:
        self._context = context
        self._options = options
        self.swap = context.folder / "swap.raw"
        # The choice of compressor came with 6.9.
        self._chooses = bool(context.symbols.all("hibernate_compressor"))
        if options.compressor == "lz4" and not self._chooses:
            raise SkipError(
                f"kernel {context.kernel.release} cannot compress its image with LZ4 "
                "(6.9 and later can, with CONFIG_CRYPTO_LZ4=y)"
            )

    @property
    def disks(self) -> list[Path]:
        """/dev/vda is the swap disk, /dev/vdb the disk load's."""
        extra = [self._context.folder / "load.raw"] if self._options.load == "disk" else []
        return [self.swap, *extra]

    def make_disks(self) -> None:
        """Sparse files: they take what the guest writes."""
        memory = self._context.options.memory_mib
        tampered = self._options.tamper.disk_mib if self._options.tamper else 0
        size = tampered or self._options.disk_mib or 2 * memory
        for path in self.disks:
            with path.open("xb") as disk:
                os.truncate(disk.fileno(), (size if path == self.swap else LOAD_DISK_MIB) << 20)

    def remove_disks(self) -> None:
        for disk in self.disks:
            disk.unlink(missing_ok=True)

    def command_line(self) -> str:
        """The kernel's, the same in every life but for the nonce."""
        words = ["console=ttyS0,115200", "nokaslr", "no_console_suspend", "panic=0"]
        words.append(f"resume={SWAP_DEVICE}")
        if self._options.compressor == "none":
            words.append("hibernate=nocompress")
        elif self._options.compressor in ("lzo", "lz4") and self._chooses:
            words.append(f"hibernate.compressor={self._options.compressor}")
        if self._context.options.append:
            words.append(self._context.options.append)
        return " ".join(words)

    def limit(self, stage: str) -> float:
        """Seconds that a stage may take."""
        tamper = self._options.tamper
        seconds = tamper.limits.get(stage, LIMITS[stage]) if tamper else LIMITS[stage]
        return seconds * self._context.options.time_scale
