# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved machines: they go on where they stood, and what is damaged is seen. Guests of a few
instructions on a real QEMU; test_machine_snapshot_kernel.py has real kernels.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import GuestPanic, InfraError, LostMachine
from harness.machine import Life, Machine, MachineConfig, PowerOff, Reset, TripleFault
from harness.machine.snapshot import DEVICES, MANIFEST, RAM, Snapshot, SnapshotError
from harness.machine.snapshot_store import SnapshotStore
from harness.machine.sparse import BLOCK, copy_sparse, fingerprint
from harness.paths import TREE
from harness.tests.machine_guests import TinyGuest, build
from kernel.cache import Cache

pytestmark = pytest.mark.timeout(60)


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


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    rigs: list[Rig] = []

    def make(name: str, **more: object) -> Rig:
        rigs.append(Rig(name, tmp_path, **more))  # type: ignore[arg-type]
        return rigs[-1]

    yield make
    for rig in rigs:
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


# Going on


def test_goes_on_where_it_stood_as_often_as_wanted(make: Callable[..., Rig]) -> None:
    rig = make("count")
    first, snapshot = rig.saved(to_turn(rig, 3))
    registers, controllers = first.registers(0), first.interrupt_controllers()
    # The saved one goes on, too.
    first.remove_breakpoint(rig.at("turn"))
    first.resume()
    first.wait(PowerOff, 20)
    assert rig.number(first, "counter") == 50
    for _ in range(2):
        life = rig.restored(Snapshot.open(snapshot.folder))
        assert life.alive and not life.running
        assert life.registers(0) == registers
        assert life.registers(0).general["rcx"] == 48
        there = life.interrupt_controllers()
        assert (there.lapics, there.ioapic, there.pics) == (
            controllers.lapics,
            controllers.ioapic,
            controllers.pics,
        )
        assert rig.number(life, "counter") == 2
        # It stands at a breakpoint that was reported: the next stop is the next turn's.
        life.run_until_breakpoint(rig.at("turn"), 20)
        assert rig.number(life, "counter") == 3
        life.add_breakpoint(rig.at("turn"), condition=lambda hit: hit.register("rcx") == 7)
        life.run_until_breakpoint(timeout=20)
        assert rig.number(life, "counter") == 43
        life.remove_breakpoint(rig.at("turn"))
        life.resume()
        life.wait(PowerOff, 20)
        assert rig.number(life, "counter") == 50


def test_both_cpus_go_on(make: Callable[..., Rig]) -> None:
    rig = make("smp", cpus=2)
    first, snapshot = rig.saved(to_turn(rig, 20))
    life = rig.restored(snapshot)
    assert 15 < rig.number(life, "counter") < 25
    life.resume()
    life.wait(PowerOff, 20)
    assert rig.number(life, "counter") == 100


@pytest.mark.parametrize(("name", "kind"), [("reset", Reset), ("triple", TripleFault)])
def test_restoring_is_no_reset(
    make: Callable[..., Rig], name: str, kind: type[Reset] | type[TripleFault]
) -> None:
    """QEMU's log of resets, which tells a triple fault, begins with those of its start."""
    rig = make(name)
    _, snapshot = rig.saved(lambda life: None)
    life = rig.restored(snapshot)
    assert life.outcome.value == "running"
    life.resume()
    assert type(life.wait((Reset, TripleFault), 20)) is kind


def test_serial_lines_go_on(make: Callable[..., Rig]) -> None:
    rig = make("agent")

    def stop(life: Life) -> None:
        life.resume()
        life.pause()

    first, snapshot = rig.saved(stop)
    life = rig.restored(snapshot)
    life.agent.settimeout(20)
    life.resume()
    life.agent.sendall(b"A")
    assert life.agent.recv(1) == b"B"


def test_a_restored_life_knows_what_was_said(make: Callable[..., Rig]) -> None:
    rig = make("hello")

    def stop(life: Life) -> None:
        life.run_until_breakpoint(rig.at("hang"), 20)

    first, snapshot = rig.saved(stop)
    life = rig.restored(snapshot)
    assert life.console_tail() == ["hello", "half"]
    assert (life.folder / "console.log").read_bytes().endswith(b"hello\r\nhalf")
    # Nothing that was said before is waited for.
    with pytest.raises(Exception, match="took longer"):
        life.wait_console("hello", 0.2)
    record = life.record
    (event,) = [event for event in record.events if event.kind == "rig"]
    assert "restored the machine from snapshot" in event.text and snapshot.saved_at in event.text
    assert record.command_line == first.record.command_line


def test_disks_get_their_saved_contents(make: Callable[..., Rig], tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    content = bytes(BLOCK) + b"x" * 5000 + bytes(3 * BLOCK) + b"end"
    disk.write_bytes(content)
    rig = make("count", disks=(disk,))
    first, snapshot = rig.saved(to_turn(rig, 1))
    first.quit()
    assert (snapshot.folder / "disk0").stat().st_blocks * 512 <= 2 * BLOCK
    disk.write_bytes(b"changed" + bytes(len(content) - 7))
    rig.restored(snapshot)
    assert disk.read_bytes() == content
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("disk.raw")] == [
        "disk.raw"
    ]


# What must not be used


def test_a_damaged_file_is_refused(make: Callable[..., Rig], tmp_path: Path) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"d" * 100)
    rig = make("count", disks=(disk,))
    _, snapshot = rig.saved(to_turn(rig, 1))
    (snapshot.folder / "console.log").write_bytes(b"some words\n")
    snapshot = reseal(snapshot)
    for name in (RAM, DEVICES, "console.log", "disk0"):
        offset = rig.at("counter") if name == RAM else 5
        damage(snapshot.folder / name, offset)
        disk.write_bytes(b"as it was")
        life = rig.machine.new_life("one")
        with pytest.raises(SnapshotError, match=f"the file {name} is damaged"):
            snapshot.restore(life)
        assert not life.alive
        rig.machine.withdraw(life)
        assert disk.read_bytes() == b"as it was"
        damage(snapshot.folder / name, offset)  # a second time: as it was
    rig.restored(snapshot)
    assert disk.read_bytes() == b"d" * 100


def test_a_flipped_byte_of_ram_is_seen_by_the_comparison(make: Callable[..., Rig]) -> None:
    jm = pytest.importorskip("jumpback_memory")
    rig = make("count")
    first, snapshot = rig.saved(to_turn(rig, 3))
    before = jm.GuestRam(first.read_physical(0, first.ram.size))

    def differences() -> list[tuple[int, int]]:
        life = rig.restored(reseal(snapshot))
        found = jm.GuestRam(life.read_physical(0, life.ram.size))
        return [(page.gpa, page.differing) for page in jm.compare_ram(before, found).differences]

    assert differences() == []
    damage(snapshot.folder / RAM, rig.at("counter") + 1)
    assert differences() == [(rig.at("counter") + 1, 1)]


def test_a_truncated_device_state_is_refused_by_qemu_with_its_words(
    make: Callable[..., Rig], tmp_path: Path
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"saved")
    rig = make("count", disks=(disk,))
    _, snapshot = rig.saved(to_turn(rig, 1))
    disk.write_bytes(b"newer")
    state = (snapshot.folder / DEVICES).read_bytes()
    (snapshot.folder / DEVICES).write_bytes(state[: len(state) // 2])
    snapshot = reseal(snapshot)
    life = rig.machine.new_life("one")
    with pytest.raises(LostMachine, match="(?s)QEMU did not start: snapshot-load"):
        snapshot.restore(life)
    assert disk.read_bytes() == b"newer"


def test_another_machines_is_refused(make: Callable[..., Rig]) -> None:
    rig = make("count")
    _, snapshot = rig.saved(to_turn(rig, 1))
    life = rig.machine.new_life("two")
    with pytest.raises(SnapshotError, match="another machine's"):
        snapshot.restore(life)
    with Machine(rig.guest.config(2), rig.folder / "other") as other:
        with pytest.raises(SnapshotError, match="another machine's.*'cpus': 1"):
            snapshot.restore(other.new_life("one"))


def test_only_what_stands_still_and_lives_is_saved(make: Callable[..., Rig]) -> None:
    rig = make("s5")
    life = rig.machine.new_life()
    life.start()
    life.resume()
    life.wait(PowerOff, 20)
    with pytest.raises(InfraError, match="cannot save the machine: guest powered off"):
        Snapshot.save(life, rig.folder)
    spinning = Machine(build("spin", rig.folder).config(), rig.folder / "spin")
    with spinning:
        life = spinning.new_life()
        life.start()
        life.resume()
        with pytest.raises(InfraError, match="pause it"):
            Snapshot.save(life, rig.folder)


# The store


def test_boots_once(make: Callable[..., Rig]) -> None:
    rig = make("count")
    seen = []
    for _ in range(3):
        life = rig.store.life(rig.machine, "third turn", rig.boot)
        seen.append((life.registers(0), life.record.nonce, life.record.command_line))
        assert life.alive and not life.running
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


# Copies


def test_sparse_copies(tmp_path: Path) -> None:
    contents = [
        b"",
        b"a",
        bytes(5 * BLOCK),
        bytes(BLOCK) + b"x" + bytes(2 * BLOCK) + b"y" * (BLOCK + 1),
        b"x" * (3 * BLOCK),
    ]
    sums = []
    for number, content in enumerate(contents):
        source, target = tmp_path / f"s{number}", tmp_path / f"t{number}"
        source.write_bytes(content)
        with source.open("rb") as read, target.open("wb") as write:
            sums.append(copy_sparse(read.fileno(), write.fileno()))
        assert target.read_bytes() == content
        # The copy has holes where the source has zeros; its sum is the same.
        with target.open("rb") as read:
            assert fingerprint(read.fileno()) == sums[-1]
    assert (tmp_path / "t2").stat().st_blocks == 0
    assert len(set(sums)) == len(contents)
