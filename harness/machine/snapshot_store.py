# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved machines in the rig's cache: boot once, go on from there in every later run.

A key stands for all that goes in, so a snapshot is used only where a boot would have led to the
same place. What is damaged is dropped, with a note, and the machine boots.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.errors import LostMachine
from harness.machine.config import QEMU, MachineConfig
from harness.machine.events import RigDid
from harness.machine.life import Life
from harness.machine.machine import Machine
from harness.machine.snapshot import FORMAT, MANIFEST, Snapshot, SnapshotError, shape
from harness.machine.sparse import fingerprint
from kernel.cache import Cache

LIMIT = 4 << 30  # bytes on disk, of all snapshots together
RESTORE_LIMIT = 60.0  # seconds; usual: 0.1

Boot = Callable[[Life], None]


class SnapshotStore:
    """``note``: told why a snapshot was dropped or not kept, for the user."""

    def __init__(
        self,
        cache: Cache | None = None,
        *,
        limit: int = LIMIT,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._cache = cache or Cache()
        self._limit = limit
        self._note = note

    @property
    def folder(self) -> Path:
        return self._cache.root / "snapshots"

    def life(
        self,
        machine: Machine,
        point: str,
        boot: Boot,
        *,
        role: str = "A",
        cycle: int = 0,
        nonce: str = "",
        append: str = "",
    ) -> Life:
        """The machine's next life, standing still at ``point``: restored if that was saved before,
        else booted by ``boot``, saved, and as if it had been restored: see ``Life.forget_past``.

        ``boot`` gets a life that stands before its first instruction; it lets it run to the point
        and there stand still. What it has learnt on the way and others need, such as addresses and
        random words, it leaves in ``life.memo``, where it stands after a restore, too.
        ``point``: a word for what ``boot`` does, to be changed with it.
        ``nonce``: by default made from all that goes in, so that the next run finds it, too. As it
        was saved with the rest, all lives from one snapshot have one nonce.
        """
        inputs = _inputs(machine.config, append, role, point)
        nonce = nonce or _digest(inputs)[:16]
        key = _digest({**inputs, "nonce": nonce})[:40]

        def new_life() -> Life:
            return machine.new_life(nonce, role, cycle, append)

        with self._cache.lock(_lock(key), shared=True):
            try:
                if (life := self._restored(machine, key, new_life)) is not None:
                    return life
            except (SnapshotError, LostMachine):
                pass  # tried again below, where nobody else uses it
        with self._cache.lock(_lock(key)):
            dropped = ""
            try:
                life = self._restored(machine, key, new_life)
            except (SnapshotError, LostMachine) as error:
                life = None
                dropped = f"dropped a snapshot: {error}"
                self._note(dropped)
                self._cache.remove(self.folder / key)
            if life is None:
                life = new_life()
                if dropped:
                    life.tell(RigDid(life.now(), dropped))
                life.start()
                boot(life)
                life.pause()
                self._keep(life, key)
                life.forget_past()
            return life

    def _restored(self, machine: Machine, key: str, new_life: Callable[[], Life]) -> Life | None:
        """None if there is no snapshot. An error leaves no trace of the life that was tried."""
        if not (self.folder / key).is_dir():
            return None
        snapshot = Snapshot.open(self.folder / key)
        life = new_life()
        try:
            with life.stage("restore", RESTORE_LIMIT) as stage:
                stage.note = f"{snapshot.name}, saved {snapshot.saved_at}"
                snapshot.restore(life)
        except (SnapshotError, LostMachine):
            machine.withdraw(life)
            raise
        (snapshot.folder / MANIFEST).touch()  # used last: pruned last
        return life

    def _keep(self, life: Life, key: str) -> None:
        """Without one the life goes on all the same."""
        try:
            with self._cache.scratch(f"snapshot-{key[:12]}") as scratch:
                made = scratch / "made"
                made.mkdir()
                Snapshot.save(life, made, key)
                if (size := _size(made)) > self._limit:
                    self._note(f"a snapshot of {size >> 20} MiB is not kept: over the limit")
                    return
                self._cache.publish_unsynced(made, self.folder / key)
        except (OSError, LostMachine) as error:
            if not life.alive:
                raise
            self._note(f"the machine was not saved: {error}")
            return
        try:
            self._prune(key)
        except OSError as error:
            self._note(f"old snapshots were not removed: {error}")

    def _prune(self, keep: str) -> None:
        """Down to the limit, those first that have not been used for longest."""
        with self._cache.lock("snapshots"):
            found: dict[Path, int] = {}
            for path in self.folder.iterdir():
                with contextlib.suppress(FileNotFoundError):  # dropped meanwhile as damaged
                    found[path] = _size(path)
            total = sum(found.values())
            for path in sorted(found, key=_last_use):
                if total <= self._limit or path.name == keep:
                    continue
                with self._cache.try_lock(_lock(path.name)) as free:
                    if free:
                        with contextlib.suppress(FileNotFoundError):
                            self._cache.remove(path)
                        total -= found[path]


def _inputs(config: MachineConfig, append: str, role: str, point: str) -> dict[str, object]:
    """All that a machine's state at ``point`` follows from, but its nonce."""
    return {
        "format": FORMAT,
        "point": point,
        "role": role,
        "shape": shape(config),
        "environment": dict(config.environment),
        "command line": [config.command_line, append],
        "bzImage": _file(config.bzimage),
        "initrd": _file(config.initrd) if config.initrd else "",
        "disks": [_disk(path) for path in config.disks],
        "qemu": _qemu_version(),
        # -cpu host: what the guest has seen of its CPU.
        "host": _host_cpu() if config.accelerator == "kvm" else "",
    }


def _digest(inputs: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(inputs, sort_keys=True).encode()).hexdigest()


def _file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _disk(path: Path) -> str:
    with path.open("rb") as file:
        return fingerprint(file.fileno())


@functools.cache
def _qemu_version() -> str:
    """With the package's, whose patches count; "" where there is none: the life's start says so."""
    if shutil.which(QEMU) is None:
        return ""
    return subprocess.run([QEMU, "--version"], capture_output=True, text=True).stdout


def _host_cpu() -> str:
    """Model and features of the first CPU."""
    first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    names = ("model name", "stepping", "microcode", "flags")
    return "\n".join(line for line in first.splitlines() if line.startswith(names))


def _lock(key: str) -> str:
    return f"snapshot-{key}"


def _size(folder: Path) -> int:
    """Bytes that its files take on the disk."""
    return sum(path.stat().st_blocks * 512 for path in folder.iterdir())


def _last_use(folder: Path) -> float:
    try:
        return (folder / MANIFEST).stat().st_mtime
    except OSError:
        return 0.0
