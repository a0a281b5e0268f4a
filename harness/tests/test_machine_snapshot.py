# SPDX-License-Identifier: GPL-2.0-or-later
"""Saved machines: they go on where they stood, and what is damaged is seen. Guests of a few
instructions on a real QEMU; test_machine_snapshot_kernel.py has real kernels.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import InfraError, LostMachine
from harness.machine import Life, Machine, PowerOff, Reset, TripleFault
from harness.machine.snapshot import DEVICES, RAM, Snapshot, SnapshotError
from harness.machine.sparse import BLOCK, copy_differences, copy_sparse, fingerprint
from harness.tests import snapshot_rig
from harness.tests.machine_guests import build
from harness.tests.snapshot_rig import Rig, damage, reseal, to_turn

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Callable[..., Rig]]:
    with snapshot_rig.rigs(tmp_path) as make:
        yield make


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


def test_differences_alone_are_copied(tmp_path: Path) -> None:
    content = b"a" * BLOCK + bytes(BLOCK) + b"b" * 100
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(content)
    target.write_bytes(b"a" * BLOCK + b"x" * (BLOCK + 100))
    with source.open("rb") as read, target.open("r+b") as write:
        copy_differences(read.fileno(), write.fileno())
    assert target.read_bytes() == content
