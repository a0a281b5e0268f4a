# SPDX-License-Identifier: GPL-2.0-or-later
"""The store of saved machines: boots once, and never uses what is damaged or another's."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import GuestPanic
from harness.machine import Life, Machine, PowerOff, snapshot_store
from harness.machine.snapshot import DEVICES, MANIFEST, RAM, Snapshot
from harness.machine.snapshot_store import SnapshotStore
from harness.machine.sparse import BLOCK
from harness.paths import TREE
from harness.tests import snapshot_rig
from harness.tests.snapshot_rig import Rig, reseal
from kernel.cache import Cache

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    with snapshot_rig.rigs(tmp_path) as make:
        yield make


def test_boots_once(make: Callable[..., Rig]) -> None:
    rig = make("count")
    seen = []
    for _ in range(3):
        life = rig.store.life(rig.machine, "third turn", rig.boot)
        seen.append((life.registers(0), life.record.nonce, life.record.command_line))
        assert life.alive and not life.running
        assert life.memo == {"turns": [1, "two", None]}
        life.run_until_breakpoint(rig.at("turn"), 20)
        assert rig.number(life, "counter") == 3
    assert rig.boots == 1 and rig.notes == []
    assert seen[0] == seen[1] == seen[2]
    assert [len(record.stages) for record in rig.machine.records] == [0, 1, 1]
    assert rig.machine.records[1].stages[0].note.startswith("snapshot ")


def test_another_process_goes_on(make: Callable[..., Rig]) -> None:
    rig = make("count")
    rig.store.life(rig.machine, "third turn", rig.boot)
    script = f"""
import sys
from pathlib import Path
from harness.machine import Machine
from harness.machine.snapshot_store import SnapshotStore
from harness.tests.machine_guests import build
from kernel.cache import Cache
folder = Path({str(rig.folder)!r})
guest = build("count", folder)
with Machine(guest.config(), folder / "other-run") as machine:
    life = SnapshotStore(Cache(folder / "cache")).life(machine, "third turn", lambda life: 1 / 0)
    print(life.read_physical(guest.symbols["counter"], 4)[0])
"""
    answer = subprocess.run(
        [sys.executable, "-c", script], cwd=TREE, capture_output=True, text=True, timeout=50
    )
    assert (answer.stdout, answer.stderr) == ("2\n", "")


def test_what_goes_in_makes_the_key(make: Callable[..., Rig], tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(bytes(BLOCK))
    rig = make("count", disks=(disk,))

    def boots(machine: Machine = rig.machine, point: str = "p", **more: str) -> int:
        """How many it takes; the disk is put back."""
        content, before = disk.read_bytes(), rig.boots
        rig.store.life(machine, point, rig.boot, **more).quit()  # type: ignore[arg-type]
        disk.write_bytes(content)
        return rig.boots - before

    assert (boots(), boots()) == (1, 0)
    assert (boots(point="q"), boots(point="q")) == (1, 0)
    assert (boots(append="x"), boots(append="x")) == (1, 0)
    assert (boots(nonce="n"), boots(nonce="n")) == (1, 0)
    assert boots(role="B") == 1
    with Machine(rig.guest.config(2, disks=(disk,)), tmp_path / "two") as machine:
        assert boots(machine) == 1
    disk.write_bytes(bytes(BLOCK - 1) + b"x")
    assert boots() == 1
    disk.write_bytes(bytes(BLOCK))
    assert boots() == 0
    image = rig.config.bzimage.read_bytes()
    rig.config.bzimage.write_bytes(image + b"\0")
    assert boots() == 1


@pytest.mark.parametrize(
    ("how", "name"),
    [(how, name) for how in ("cut", "gone") for name in (RAM, DEVICES, MANIFEST)]
    + [("gone", "console.log")],
)
def test_a_damaged_one_is_dropped_and_booted_afresh(
    make: Callable[..., Rig], how: str, name: str
) -> None:
    rig = make("count")
    rig.store.life(rig.machine, "p", rig.boot)
    path = rig.stored() / name
    if how == "cut":
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)
    else:
        path.unlink()
    life = rig.store.life(rig.machine, "p", rig.boot)
    assert rig.boots == 2 and rig.number(life, "counter") == 2
    (note,) = rig.notes
    assert note.startswith("dropped a snapshot: ")
    # It is said in the run, too, which has no trace of the life that was tried.
    assert [record.index for record in rig.machine.records] == [1, 2]
    assert note in [event.text for event in life.record.events]
    rig.store.life(rig.machine, "p", rig.boot)
    assert rig.boots == 2


def test_one_that_qemu_refuses_is_dropped(make: Callable[..., Rig]) -> None:
    rig = make("count")
    rig.store.life(rig.machine, "p", rig.boot)
    snapshot = Snapshot.open(rig.stored())
    (snapshot.folder / DEVICES).write_bytes(b"no device state")
    reseal(snapshot)
    rig.store.life(rig.machine, "p", rig.boot)
    assert rig.boots == 2 and "QEMU did not start" in rig.notes[0]


def test_nothing_is_kept_of_a_boot_that_fails(make: Callable[..., Rig]) -> None:
    rig = make("panic")

    def boot(life: Life) -> None:
        life.resume()
        life.wait(PowerOff, 20)

    with pytest.raises(GuestPanic):
        rig.store.life(rig.machine, "p", boot)
    assert not rig.store.folder.exists() or not list(rig.store.folder.iterdir())


def test_a_half_written_one_is_never_used(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = make("count")

    def full(life: Life, folder: Path, key: str) -> Snapshot:
        (folder / RAM).write_bytes(b"half")
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(Snapshot, "save", full)
        life = rig.store.life(rig.machine, "p", rig.boot)
    # The life goes on all the same.
    life.run_until_breakpoint(rig.at("turn"), 20)
    assert "no space left" in rig.notes[0]
    assert not rig.store.folder.exists()
    rig.store.life(rig.machine, "p", rig.boot)
    assert rig.boots == 2


def test_runs_at_the_same_time_boot_once(make: Callable[..., Rig], tmp_path: Path) -> None:
    rig = make("count")
    counters: list[int] = []

    def run(number: int) -> None:
        with Machine(rig.config, tmp_path / f"run-{number}") as machine:
            life = SnapshotStore(Cache(tmp_path / "cache")).life(machine, "p", rig.boot)
            counters.append(rig.number(life, "counter"))

    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters == [2, 2, 2, 2] and rig.boots == 1


def test_the_oldest_go_first(make: Callable[..., Rig]) -> None:
    rig = make("count")
    rig.store.life(rig.machine, "1", rig.boot)
    size = sum(path.stat().st_blocks * 512 for path in rig.stored().iterdir())
    store = SnapshotStore(rig.cache, limit=2 * size + size // 2, note=rig.notes.append)
    store.life(rig.machine, "2", rig.boot)
    store.life(rig.machine, "1", rig.boot)  # used: now "2" is older
    store.life(rig.machine, "3", rig.boot)
    assert rig.boots == 3 and len(list(store.folder.iterdir())) == 2
    store.life(rig.machine, "1", rig.boot)
    assert rig.boots == 3
    store.life(rig.machine, "2", rig.boot)
    assert rig.boots == 4
    shutil.rmtree(store.folder)
    SnapshotStore(rig.cache, limit=size // 2, note=rig.notes.append).life(
        rig.machine, "1", rig.boot
    )
    assert "not kept" in rig.notes[-1] and not any(store.folder.glob("*"))


def test_one_that_goes_while_the_oldest_are_looked_for(
    make: Callable[..., Rig], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another run drops it as damaged: neither this one's own, nor the removal of others, fails."""
    rig = make("count")
    rig.store.life(rig.machine, "1", rig.boot)
    size = sum(path.stat().st_blocks * 512 for path in rig.stored().iterdir())
    rig.store.life(rig.machine, "2", rig.boot)
    first, *_ = sorted(rig.store.folder.iterdir(), key=lambda path: path.stat().st_mtime)
    was = snapshot_store._size

    def gone(folder: Path) -> int:
        if folder == first and folder.exists():
            shutil.rmtree(folder)
        return was(folder)

    monkeypatch.setattr(snapshot_store, "_size", gone)
    store = SnapshotStore(rig.cache, limit=size + size // 2, note=rig.notes.append)
    store.life(rig.machine, "3", rig.boot)
    assert rig.notes == [] and len(list(store.folder.iterdir())) == 1
    monkeypatch.undo()
    store.life(rig.machine, "3", rig.boot)
    assert rig.boots == 3
