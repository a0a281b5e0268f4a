# SPDX-License-Identifier: GPL-2.0-or-later
"""The kernel's own functions, called one by one in a guest that stands still, against the model's.

States are random: planted in the kernel's saved memory and written to the controllers by its own
resume functions. So are the orders of calls, right ones and wrong ones. A failure names the seed;
JUMPBACK_TEST_SEED starts with another one, JUMPBACK_TEST_ROUNDS sets how many.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jumpback_interrupts as ji
import pytest

from harness.oracles.interrupt_model import PM_STATE, UNSEEN, saved_rtes_at
from harness.tests import handoff_rig
from harness.tests.handoff_rig import Caller, Guest, Watch, take_registers

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1200)]

SEED = int(os.environ.get("JUMPBACK_TEST_SEED", "20080513"))
ROUNDS = int(os.environ.get("JUMPBACK_TEST_ROUNDS", "6"))
CALLS = 8  # in a round

FUNCTIONS = [
    "clear_local_APIC",
    "apic_soft_disable",
    "disable_local_APIC",
    "lapic_shutdown",
    "lapic_suspend",
    "lapic_resume",
    "clear_IO_APIC",
    "save_ioapic_entries",
    "mask_ioapic_entries",
    "restore_ioapic_entries",
    "ioapic_resume",
    "restore_boot_irq_mode",
    "native_restore_boot_irq_mode",
    "disconnect_bsp_APIC(0)",
    "disconnect_bsp_APIC(1)",
    "mask_8259A",
    "unmask_8259A",
    "i8259A_suspend",
    "i8259A_resume",
    "i8259A_shutdown",
]


@pytest.fixture(scope="module", params=["x86_64", "i386"])
def built(request: Any, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    return handoff_rig.build(
        handoff_rig.KERNEL, request.param, tmp_path_factory.mktemp("functions")
    )


@pytest.fixture
def guest(built: Guest, tmp_path: Path) -> Guest:
    built.folder = tmp_path
    return built


def random_lvt(source: random.Random, modes: list[int]) -> int:
    """Vector, mask and settings of a pin. ``modes``: delivery modes that do the guest no harm when
    something comes in: an SMI or an INIT would end it."""
    return (
        source.randrange(0x20, 0x100)
        | source.choice(modes) << 8
        | source.randrange(2) << 13
        | source.randrange(2) << 15
        | source.randrange(2) << 16
    )


def random_memory(source: random.Random, model: ji.Machine) -> None:
    """What the kernel has saved: any state that its resume functions can write."""
    fixed = model.saved_lapic
    any_mode = [0, 1, 2, 4, 5, 7]  # of pins that nothing comes in through
    model.saved_lapic = {
        "apic_id": model["LAPIC ID"],  # the monitor goes by it
        "apic_taskpri": source.randrange(0x100),
        "apic_ldr": source.randrange(0x100) << 24,
        "apic_dfr": source.choice([0xFFFFFFFF, 0x0FFFFFFF]),
        "apic_spiv": source.randrange(0x200),
        "apic_lvtt": source.randrange(0x20, 0x100) | source.randrange(8) % 6 << 16,
        "apic_lvtpc": random_lvt(source, any_mode) & 0x107FF,
        "apic_lvt0": random_lvt(source, [0, 7]),
        "apic_lvt1": random_lvt(source, any_mode),
        "apic_lvterr": source.randrange(0x20, 0x100) | source.randrange(2) << 16,
        "apic_tmict": source.randrange(1 << 32),
        "apic_tdcr": source.choice([0, 1, 2, 3, 8, 9, 10, 11]),
        "apic_thmr": random_lvt(source, any_mode) & 0x107FF,
        "apic_cmci": fixed["apic_cmci"],
    }
    rtes = []
    for _ in model.saved_rtes[0]:
        low = random_lvt(source, any_mode) & ~0xFF | source.randrange(0x20, 0x100)
        low |= source.randrange(2) << 11
        rtes.append(source.randrange(0x100) << 56 | low)
    model.saved_rtes = [rtes]
    model.cached_irq_mask = source.randrange(1 << 16)
    model.auto_eoi = bool(source.randrange(2))
    model.saved_elcr = [source.randrange(0x100) & 0xF8, source.randrange(0x100) & 0xDE]
    pin = source.randrange(-len(rtes), len(rtes))
    model.ioapic_i8259 = (0, pin) if pin >= 0 else None
    if model_is_32bit(model):
        model.pic_mode = source.randrange(4) == 0


def model_is_32bit(model: ji.Machine) -> bool:
    """lapic_shutdown() is the one function that tells."""
    probe = model.copy()
    probe.enabled_via_apicbase = False
    probe["LAPIC SPIV"] = 0x1FF
    probe.call("lapic_shutdown")
    return bool(probe["LAPIC SPIV"] & 0x100)


def plant(watch: Watch, model: ji.Machine) -> None:
    """The model's memory into the kernel's."""
    kernel = watch.kernel
    state = kernel.address("apic_pm_state")
    for index, name in enumerate(PM_STATE):
        kernel.write(state + 4 * (index + 1), model.saved_lapic[name], 4)
    base, count = saved_rtes_at(kernel)
    for pin, entry in enumerate(model.saved_rtes[0]):
        kernel.write(base + 8 * pin, entry, 8)
    assert count == len(model.saved_rtes[0])
    kernel.write(kernel.address("cached_irq_mask"), model.cached_irq_mask, 4)
    kernel.write(kernel.address("i8259A_auto_eoi"), int(model.auto_eoi), 4)
    for offset, value in enumerate(model.saved_elcr):
        kernel.write(kernel.address("irq_trigger") + offset, value, 1)
    apic, pin = model.ioapic_i8259 or (-1, -1)
    kernel.write(kernel.address("ioapic_i8259"), pin, 4)
    kernel.write(kernel.address("ioapic_i8259") + 4, apic, 4)
    if watch.guest.word == 4:
        kernel.write(kernel.address("pic_mode"), int(model.pic_mode), 4)


def call_both(caller: Caller, model: ji.Machine, function: str) -> None:
    model.call(function)
    if function.startswith("disconnect_bsp_APIC("):
        caller.call("disconnect_bsp_APIC", int(function[-2]))
    else:
        caller.call(function)


def check(watch: Watch, model: ji.Machine, what: str) -> None:
    """Registers, and what the kernel has saved."""
    found = watch.capture()
    differences = [d for d in ji.differences(model, found) if d.register not in UNSEEN]
    assert not differences, f"{what}:\n" + "\n".join(map(str, differences))
    kernel = watch.kernel
    saved = {
        name: kernel.number("apic_pm_state", 4, 4 * (index + 1))
        for index, name in enumerate(PM_STATE)
    }
    assert saved == model.saved_lapic, what
    base, count = saved_rtes_at(kernel)
    entries = [kernel.at(base + 8 * pin, 8) for pin in range(count)]
    # Status bits of an entry are saved as they were at that moment.
    assert [e & ~0x5000 for e in entries] == [e & ~0x5000 for e in model.saved_rtes[0]], what


def start(guest: Guest, run: Callable[[Watch, Caller, ji.Machine], None], *extra: str) -> None:
    with guest.boot("jump", extra=extra) as watch:
        watch.run_to("i8259A_suspend")  # entries are saved; interrupts are off
        model = watch.capture(with_kernel=True)
        model.enabled_via_apicbase = False
        run(watch, Caller(watch), model)


def test_random_states_and_orders(guest: Guest) -> None:
    def rounds(watch: Watch, caller: Caller, model: ji.Machine) -> None:
        for seed in range(SEED, SEED + ROUNDS):
            source = random.Random(seed)
            random_memory(source, model)
            plant(watch, model)
            done = []
            plan = ["lapic_resume", "i8259A_resume", "restore_ioapic_entries"]
            plan += source.choices(FUNCTIONS, k=CALLS)
            for function in plan:
                take_registers(model, watch.capture())
                call_both(caller, model, function)
                done.append(function)
                check(watch, model, f"seed {seed}: {', '.join(done)}")

    print(f"seeds {SEED} to {SEED + ROUNDS - 1}")
    start(guest, rounds)


@pytest.mark.parametrize("version", [0x20, 0x11])
def test_remote_irr_is_cleared(guest: Guest, version: int) -> None:
    """A level-triggered interrupt that was delivered and never ended, on a pin that is then
    cleared: by the EOI register, and on a chip that has none."""

    def deliver_and_clear(watch: Watch, caller: Caller, model: ji.Machine) -> None:
        assert model["IOAPIC 0 version"] == version
        entries = model.saved_rtes[0]
        entries[3] = 0x8041  # level, unmasked, vector 0x41, physical to APIC id 0
        model.saved_rtes = [entries]
        plant(watch, model)
        caller.call("restore_ioapic_entries")
        # The second serial port's line, IRQ 3: its transmitter is empty, and may say so now.
        for enable in (0, 2):
            watch.monitor(f"o /b 0x2f9 {enable}")
        before = watch.capture()
        assert before["IOAPIC 0 RTE 3"] == 0xC041, "the interrupt was delivered"
        take_registers(model, before)
        call_both(caller, model, "clear_IO_APIC")
        found = watch.capture()
        assert found["IOAPIC 0 RTE 3"] == model["IOAPIC 0 RTE 3"] == 0x10000
        check(watch, model, "clear_IO_APIC")

    start(guest, deliver_and_clear, "-global", f"ioapic.version={version}")
