# SPDX-License-Identifier: GPL-2.0-or-later
"""A machine that stands still, saved into a folder, and lives that go on from there.

RAM is our own memory file and the disks are our own raw files: they are copied here, sparsely. The
rest is QEMU's (device_state.py). Guest clocks go on where they stood; the RTC follows the host's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness.errors import InfraError
from harness.machine.config import MachineConfig
from harness.machine.events import RigDid
from harness.machine.life import Life, Past
from harness.machine.sparse import copy_differences, copy_sparse, fingerprint

FORMAT = 2  # goes up with every change of what is in the folder
MANIFEST, RAM, DEVICES, CONSOLE = "snapshot", "ram", "devices", "console.log"


class SnapshotError(InfraError):
    """A saved machine that cannot be used: damaged, or another machine's."""


@dataclass(frozen=True)
class Snapshot:
    """``folder`` holds the files; ``sums``: the fingerprint of each."""

    folder: Path
    key: str  # by which the store knows it; "" where there is no store
    shape: dict[str, str | int]  # of the machine: what a life must have in common with it
    role: str
    nonce: str
    command_line: str  # the kernel's
    qemu: str  # version
    saved_at: str  # ISO 8601, UTC
    seconds: float  # from the saved life's start until it was saved
    stop: list[int]  # thread and address of the breakpoint that it stands at; or empty
    memo: dict[str, Any]  # Life.memo
    sums: dict[str, str]

    @classmethod
    def save(cls, life: Life, folder: Path, key: str = "") -> Snapshot:
        """Saves ``life``, which stands still and can go on afterwards, into an empty folder."""
        life.save_devices(folder / DEVICES)
        sums = {RAM: _copy_out(life.ram.fd, folder / RAM)}
        for name, path in _disks(life.config):
            with path.open("rb") as disk:
                sums[name] = _copy_out(disk.fileno(), folder / name)
        past = life.past()
        (folder / CONSOLE).write_bytes(past.console)
        for name in (DEVICES, CONSOLE):
            with (folder / name).open("rb") as file:
                sums[name] = fingerprint(file.fileno())
        record = life.record
        snapshot = cls(
            folder=folder,
            key=key,
            shape=shape(life.config),
            role=record.role,
            nonce=record.nonce,
            command_line=record.command_line,
            qemu=life.qemu_version,
            saved_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            seconds=life.now() - record.start,
            stop=list(past.reported or ()),
            memo=past.memo,
            sums=sums,
        )
        snapshot.write_manifest()
        life.tell(RigDid(life.now(), f"saved the machine as {snapshot.name}"))
        return snapshot

    @classmethod
    def open(cls, folder: Path) -> Snapshot:
        """Raises SnapshotError. The files themselves are looked at by ``restore``."""
        try:
            seal, text = (folder / MANIFEST).read_text().split("\n", 1)
            if seal != _seal(text):
                raise SnapshotError(f"{folder}: {MANIFEST} is damaged, or of another format")
            return cls(folder=folder, **json.loads(text))
        except (OSError, ValueError, TypeError) as error:
            raise SnapshotError(f"{folder}: {MANIFEST} cannot be used: {error!r}") from error

    def write_manifest(self) -> None:
        fields = asdict(self)
        del fields["folder"]
        text = json.dumps(fields, indent=2) + "\n"
        (self.folder / MANIFEST).write_text(f"{_seal(text)}\n{text}")

    @property
    def name(self) -> str:
        return f"snapshot {self.key[:12] or self.folder.name}"

    def restore(self, life: Life) -> None:
        """Starts ``life`` where the saved one stood: it stands still there. As often as wanted.

        Needs a life that was not started, of a machine of the same shape, with the saved command
        line and nonce. Its disks get the saved contents, its console log begins with the saved one.
        Raises SnapshotError, or LostMachine where QEMU refuses the state: the disks then are as
        they were, and the life is to be withdrawn.
        """
        found = (shape(life.config), life.record.nonce, life.record.command_line)
        if found != (self.shape, self.nonce, self.command_line):
            raise SnapshotError(f"{self.name} is another machine's: {self.shape}, not {found[0]}")
        try:
            self._check(CONSOLE)
            console = (self.folder / CONSOLE).read_bytes()
            self._copy_in(RAM, life.ram.fd)
            devices = life.folder / DEVICES  # for this life alone: it is written to
            with devices.open("wb") as file:
                self._copy_in(DEVICES, file.fileno())
            with self._disks_in_place(life.config):
                life.start(devices)
                self._keep_ram(life)
                if life.qemu_version != self.qemu:
                    there = life.qemu_version
                    raise SnapshotError(f"{self.name} is of QEMU {self.qemu}, not {there}")
            devices.unlink()
        except OSError as error:
            raise SnapshotError(f"{self.name}: {error}") from error
        stop = (self.stop[0], self.stop[1]) if self.stop else None
        life.take_past(Past(console, stop, self.memo))
        text = f"restored the machine from {self.name}, saved {self.saved_at} in a life of role "
        life.tell(RigDid(life.now(), text + f"{self.role}, {self.seconds:.2f} s after its start"))

    def _keep_ram(self, life: Life) -> None:
        """Undoes what QEMU's start wrote to RAM: its reset, which comes before the load of the
        devices, copies an ELF kernel there (hw/core/loader.c, rom_reset); of a bzImage nothing."""
        with (self.folder / RAM).open("rb") as file:
            copy_differences(file.fileno(), life.ram.fd)

    def _check(self, name: str) -> None:
        with (self.folder / name).open("rb") as file:
            self._compare(name, fingerprint(file.fileno()))

    def _copy_in(self, name: str, target: int) -> None:
        with (self.folder / name).open("rb") as file:
            self._compare(name, copy_sparse(file.fileno(), target))

    def _compare(self, name: str, found: str) -> None:
        if found != self.sums.get(name):
            raise SnapshotError(f"{self.name}: the file {name} is damaged: its sum is another one")

    @contextlib.contextmanager
    def _disks_in_place(self, config: MachineConfig) -> Iterator[None]:
        """Inside, the saved disks stand where the machine's were; these come back on an error."""
        made: list[tuple[Path, Path, Path]] = []
        try:
            for name, path in _disks(config):
                new, old = path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.old")
                made.append((path, new, old))
                with new.open("wb") as file:
                    self._copy_in(name, file.fileno())
            for path, new, old in made:
                os.rename(path, old)
                os.rename(new, path)
            yield
        except BaseException:
            for path, new, old in made:
                if old.exists():
                    os.rename(old, path)
                new.unlink(missing_ok=True)
            raise
        for _, _, old in made:
            old.unlink()


def shape(config: MachineConfig) -> dict[str, str | int]:
    """What must be the same for a device state to fit, beside the files."""
    return {
        "arch": config.arch,
        "memory_mib": config.memory_mib,
        "cpus": config.cpus,
        "accelerator": config.accelerator,
        "cpu": config.cpu,
        "disks": len(config.disks),
        "extra_args": "\n".join(config.extra_args),
    }


def _seal(text: str) -> str:
    """The manifest's first line; all that the rest says can be relied on."""
    return f"jumpback-snapshot {FORMAT} {hashlib.sha256(text.encode()).hexdigest()}"


def _disks(config: MachineConfig) -> list[tuple[str, Path]]:
    """By the name of the copy. Behind links: the file itself is what is replaced."""
    return [(f"disk{index}", path.resolve()) for index, path in enumerate(config.disks)]


def _copy_out(source: int, path: Path) -> str:
    with path.open("wb") as file:
        return copy_sparse(source, file.fileno())
