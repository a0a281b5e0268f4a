# SPDX-License-Identifier: GPL-2.0-or-later
"""Real kernels, saved and restored: all RAM, all registers, all interrupt controllers, and QEMU's
whole device state are what they were; the guest goes on and so does its agent.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jumpback_memory as jm
import pytest

import kernel
from harness.guest_image import build_guest
from harness.guest_link import GuestLink, guest_up
from harness.machine import Life, Machine, MachineConfig
from harness.machine.interrupts import InterruptControllers
from harness.machine.registers import Registers
from harness.machine.snapshot import CONSOLE, DEVICES, RAM, Snapshot
from harness.machine.snapshot_store import SnapshotStore
from harness.symbols import Symbols
from kernel.cache import Cache

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1200)]

LIMIT = 60.0  # seconds a stage; usual: 1


def machine(arch: str, cpus: int, folder: Path) -> tuple[Machine, Symbols]:
    tested = kernel.resolve("6.1", arch)
    disk = folder / "disk.raw"
    with disk.open("wb") as file:
        file.truncate(16 << 20)
    config = MachineConfig(
        bzimage=tested.bzimage,
        initrd=build_guest(arch).path,
        command_line="console=ttyS0,115200 nokaslr panic=0",
        arch=arch,
        cpus=cpus,
        memory_mib=192,
        disks=(disk,),
    )
    return Machine(config, folder / "run"), Symbols(tested.vmlinux)


def ram(life: Life) -> jm.GuestRam:
    return jm.GuestRam(os.pread(life.ram.fd, life.ram.size, 0))


def cpus_of(life: Life) -> list[Registers]:
    return [life.registers(cpu) for cpu in range(life.config.cpus)]


def controllers(life: Life) -> InterruptControllers:
    """Without the monitor's text: it has counts of QEMU's own, which begin anew."""
    found = life.interrupt_controllers()
    return InterruptControllers(found.lapics, found.ioapic, found.pics, {})


def differing_devices(one: bytes, other: bytes) -> list[int]:
    """Offsets at which two states differ, but for what may: QEMU's run state, the RTC, which
    follows the host's clock, and the dates of the snapshot in qcow2's table (docs/interop/qcow2).
    """
    table = int.from_bytes(one[64:72], "big")
    allowed = set(range(table + 16, table + 32))
    for name, size in ((b"globalstate", 112), (b"mc146818rtc", 160)):
        at = one.index(bytes([len(name)]) + name) + 1 + len(name)
        allowed |= set(range(at, at + size))
    assert len(one) == len(other)
    return [at for at in range(len(one)) if one[at] != other[at] and at not in allowed]


@pytest.mark.parametrize(
    ("arch", "cpus"),
    [
        ("x86_64", 1),
        ("i386", 2),
        pytest.param("x86_64", 2, marks=pytest.mark.full),
        pytest.param("i386", 1, marks=pytest.mark.full),
    ],
)
def test_all_that_the_oracle_reads_is_the_same(tmp_path: Path, arch: str, cpus: int) -> None:
    rig, symbols = machine(arch, cpus, tmp_path)
    with rig:
        link = guest_up(rig, None, nonce="there-and-back")
        first = link.life
        with first.stage("work", LIMIT), link.asking() as agent:
            first.resume()
            agent.plant("word", "kept")
            agent.start_counter("counter", "kept")
            agent.start_cpu("cpu", seed=5)
            agent.run("echo before >/dev/vda; sync")
            agent.run("(sleep 0.5; echo 3 >/proc/sys/vm/drop_caches) >/dev/null 2>&1 &")
            # Stands inside of the kernel, at a breakpoint, with processes that compute.
            first.run_until_breakpoint(symbols.address("drop_slab"))
        (tmp_path / "saved").mkdir()
        (tmp_path / "again").mkdir()
        snapshot = Snapshot.save(first, tmp_path / "saved")
        before, registers, interrupts = ram(first), cpus_of(first), controllers(first)
        first.resume()
        with link.asking() as agent:
            agent.run("echo after >/dev/vda; sync")
            assert agent.check("word").value == "kept"  # the saved life goes on, too
        link.close()

        life = rig.new_life("there-and-back")
        Snapshot.open(snapshot.folder).restore(life)
        compared = jm.compare_ram(before, ram(life))
        assert (compared.compared, compared.different) == (life.ram.size // 4096, 0)
        for one, other in zip(registers, cpus_of(life), strict=True):
            assert one == other  # monitor text with GDTR, IDTR, TR, debug and vector registers, too
        assert interrupts == controllers(life)
        again = Snapshot.save(life, tmp_path / "again")
        states = [(one.folder / DEVICES).read_bytes() for one in (snapshot, again)]
        assert differing_devices(*states) == []
        assert again.sums[RAM] == snapshot.sums[RAM]

        found = GuestLink(life)
        with life.stage("go on", LIMIT), found.asking() as agent:
            life.resume()
            agent.resync()
            assert agent.check("word").value == "kept"
            assert agent.hello().life == "there-and-back"
            assert agent.run("head -c 6 /dev/vda").output == b"before"
            assert len(agent.cpus()) == cpus and all(proof.count for proof in agent.cpus())
            for name in agent.workloads():
                progress = agent.query(name).progress
                state = agent.stop(name)
                assert state.problems() == [] and state.progress >= progress > 0
        assert life.console_problems() == []
        found.close()


@pytest.fixture
def seen(tmp_path: Path) -> Iterator[tuple[bytes, bytes]]:
    """A state of each of two machines that differ in the ROM alone."""
    rig, _ = machine("x86_64", 1, tmp_path)
    with rig:
        life = rig.new_life("x")
        life.start()
        (tmp_path / "saved").mkdir()
        state = (Snapshot.save(life, tmp_path / "saved").folder / DEVICES).read_bytes()
    changed = bytearray(state)
    changed[state.index(b"SeaBIOS")] ^= 1
    yield state, bytes(changed)


def test_a_difference_of_device_states_is_seen(seen: tuple[bytes, bytes]) -> None:
    assert differing_devices(seen[0], seen[0]) == []
    assert differing_devices(*seen) == [seen[0].index(b"SeaBIOS")]


def test_later_runs_need_no_boot(tmp_path: Path) -> None:
    rig, _ = machine("x86_64", 1, tmp_path)
    store = SnapshotStore(Cache(tmp_path / "cache"))
    answers = []

    def prepare(link: GuestLink) -> None:
        with link.asking() as agent:
            link.life.memo["pa"] = agent.plant("word", "planted once").pa

    with rig:
        for _ in range(2):
            link = guest_up(rig, store, point="planted", prepare=prepare)
            assert not link.life.running
            assert link.life.read_physical(link.life.memo["pa"], 12) == b"planted once"
            link.life.resume()
            with link.asking() as agent:
                hello = agent.hello()
                assert hello.life == link.life.record.nonce
                assert agent.check("word").pa == link.life.memo["pa"]
                answers.append((hello.life, hello.pid))
            link.close()
        assert answers[0] == answers[1]
        stages = [[stage.name for stage in record.stages] for record in rig.records]
        assert stages == [["boot"], ["restore"]]
        (place,) = store.folder.iterdir()
        said = (place / CONSOLE).read_bytes()
        assert b"Linux version" in said
        for record in rig.records:
            assert record.console_log is not None
            assert (rig.run_folder / record.console_log).read_bytes().startswith(said)
