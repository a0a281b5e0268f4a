# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of a few instructions for the tests of saved machines, and ways to damage those."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from harness.machine import Life, Machine, MachineConfig
from harness.machine.snapshot import Snapshot
from harness.machine.snapshot_store import SnapshotStore
from harness.machine.sparse import fingerprint
from harness.tests.machine_guests import TinyGuest, build
from kernel.cache import Cache


class Rig:
    """A guest, its machine, a store, and what the store has noted."""

    def __init__(self, name: str, folder: Path, cpus: int = 1, **more: object) -> None:
        self.folder = folder
        self.guest: TinyGuest = build(name, folder)
        self.config: MachineConfig = self.guest.config(cpus, **more)
        self.machine = Machine(self.config, folder / "run")
        self.notes: list[str] = []
        self.boots = 0
        self.cache = Cache(folder / "cache")
        self.store = SnapshotStore(self.cache, note=self.notes.append)

    def saved(self, stop: Callable[[Life], None]) -> tuple[Life, Snapshot]:
        life = self.machine.new_life("one")
        life.start()
        stop(life)
        (self.folder / "saved").mkdir()
        return life, Snapshot.save(life, self.folder / "saved")

    def restored(self, snapshot: Snapshot) -> Life:
        life = self.machine.new_life("one")
        snapshot.restore(life)
        return life

    def at(self, symbol: str) -> int:
        return self.guest.symbols[symbol]

    def number(self, life: Life, symbol: str) -> int:
        return int.from_bytes(life.read_physical(self.at(symbol), 4), "little")

    def stored(self) -> Path:
        (place,) = self.store.folder.iterdir()
        return place

    def boot(self, life: Life) -> None:
        """To the third turn of the guest "count"."""
        self.boots += 1
        for _ in range(3):
            life.run_until_breakpoint(self.at("turn"), 20)
        life.memo["turns"] = [1, "two", None]


@contextlib.contextmanager
def rigs(folder: Path) -> Iterator[Callable[..., Rig]]:
    """Makes them, and ends their machines."""
    made: list[Rig] = []

    def make(name: str, **more: object) -> Rig:
        made.append(Rig(name, folder, **more))  # type: ignore[arg-type]
        return made[-1]

    yield make
    for rig in made:
        rig.machine.close()


def to_turn(rig: Rig, turns: int) -> Callable[[Life], None]:
    def stop(life: Life) -> None:
        life.add_breakpoint(rig.at("turn"), "turn")
        for _ in range(turns):
            life.run_until_breakpoint(rig.at("turn"), 20)

    return stop


def damage(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1]))


def reseal(snapshot: Snapshot) -> Snapshot:
    """The sums are right again: the damage has to be seen by others."""
    for name in snapshot.sums:
        with (snapshot.folder / name).open("rb") as file:
            snapshot.sums[name] = fingerprint(file.fileno())
    snapshot.write_manifest()
    return Snapshot.open(snapshot.folder)
