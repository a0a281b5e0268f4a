# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine over its lives: the same disks and configuration, powered on again and again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from harness.machine.config import MachineConfig
from harness.machine.life import Life
from harness.results import LifeRecord

NONCE_PARAMETER = "jumpback.life"  # on the kernel's command line, seen in /proc/cmdline


class Machine:
    """Use it in a ``with`` statement: no machine outlives it, however the block is left.

    ``run_folder``: where each life gets a folder "life-01"…; ``origin``: the run's time zero on
    the monotonic clock. Lives run one after another, since they share the disks.
    """

    def __init__(
        self,
        config: MachineConfig,
        run_folder: Path,
        origin: float | None = None,
        symbolize: Callable[[int], str] = hex,
    ) -> None:
        self.config = config
        self.run_folder = run_folder
        self.origin = time.monotonic() if origin is None else origin
        self.records: list[LifeRecord] = []
        self._symbolize = symbolize
        self._lives: list[Life] = []

    def __enter__(self) -> Machine:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def new_life(self, nonce: str = "", role: str = "A", cycle: int = 0, append: str = "") -> Life:
        """The next power-on, not started yet. The one before is ended, its RAM stays readable;
        older ones give theirs back, so that many cycles need no more memory than two lives.

        ``nonce`` goes on the kernel's command line, behind ``append``.
        """
        for life in self._lives[:-1]:
            life.close()
        del self._lives[:-1]
        for life in self._lives:
            life.quit()
        index = len(self.records) + 1
        folder = self.run_folder / f"life-{index:02}"
        folder.mkdir(parents=True, exist_ok=True)
        words = [self.config.command_line, append, f"{NONCE_PARAMETER}={nonce}" if nonce else ""]
        record = LifeRecord(
            index=index,
            cycle=cycle,
            role=role,
            nonce=nonce,
            start=time.monotonic() - self.origin,
            command_line=" ".join(word for word in words if word),
            console_log=folder.relative_to(self.run_folder) / "console.log",
        )
        life = Life(self.config, record, folder, self.origin, self._symbolize)
        self.records.append(record)
        self._lives.append(life)
        return life

    def withdraw(self, life: Life) -> None:
        """As if ``life``, the latest, had never been made: no instruction of it was executed."""
        self._lives.remove(life)
        self.records.remove(life.record)
        life.close()
        shutil.rmtree(life.folder, ignore_errors=True)

    def close(self) -> None:
        """Ends all lives and gives back their RAM. Safe to call twice."""
        while self._lives:
            self._lives.pop().close()
