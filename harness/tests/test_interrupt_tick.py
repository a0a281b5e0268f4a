# SPDX-License-Identifier: GPL-2.0-or-later
"""Does a tick of the legacy timer come, and does the model say so? Jumps into a page that sets up
8259 and PIT as a second kernel does and counts what comes (fixtures/kexec/tick_page.S); faults of
the hand-over are put into the kernel that jumps.

x86_64 only; the same hardware, and the same model, serve i386.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import jumpback_interrupts as ji
import pytest

from harness.tests import handoff_rig
from harness.tests.handoff_rig import Guest, Watch

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.timeout(1200)]

END, FAULT, TICKS = 0x400, 0x410, 0x420  # offsets in tick_page.S


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Guest:
    folder = tmp_path_factory.mktemp("tick")
    source, linked, flat = handoff_rig.SOURCES / "tick_page.S", folder / "page.o", folder / "page"
    subprocess.run(["gcc", "-m64", "-c", "-o", str(linked), str(source)], check=True)
    copy = ["objcopy", "-O", "binary", "-j", ".text", str(linked), str(flat)]
    subprocess.run(copy, check=True)
    return handoff_rig.build(handoff_rig.KERNEL, "x86_64", folder, payload=flat)


def _nothing(watch: Watch) -> None:
    pass


def _skip_both(watch: Watch) -> None:
    for name in ("clear_IO_APIC", "restore_boot_irq_mode"):
        watch.run_to(name)
        watch.skip()


def _skip_clear(watch: Watch) -> None:
    watch.run_to("clear_IO_APIC")
    watch.skip()


def _mask_lvt0(watch: Watch) -> None:
    """disconnect_bsp_APIC() leaves the mask bit in LVT0."""
    watch.run_to("restore_boot_irq_mode")
    while True:
        watch.run_to("native_apic_mem_write")
        if watch.arguments(1) == (0x350,):
            watch.set_register("rsi", watch.register("rsi") | 0x10000)
            return


def after_set_up(found: ji.Machine) -> ji.Machine:
    """The same machine after what tick_page.S does."""
    model = found.copy()
    model.cached_irq_mask, model.auto_eoi = 0xFFFE, False
    model.call("i8259A_resume")
    model["PIT mode"], model["PIT counting"] = 2, 1
    return model


CASES: list[tuple[str, Callable[[Watch], None], str, str, str]] = [
    # what; what to do to the kernel; its command line; the way; what stands in it
    ("right", _nothing, "hpet=disable", "LAPIC virtual wire", ""),
    ("no clear_IO_APIC", _skip_clear, "hpet=disable", "LAPIC virtual wire", ""),
    ("the bug of 2008", _skip_both, "hpet=disable", "none", "LVT0 is masked (0x10000)"),
    ("LVT0 masked", _mask_lvt0, "hpet=disable", "none", "LVT0 is masked (0x15700)"),
    ("HPET", _nothing, "", "LAPIC virtual wire", "the PIT is cut off"),
]


@pytest.mark.parametrize(
    ("inject", "append", "way", "obstacle"),
    [case[1:] for case in CASES],
    ids=[case[0] for case in CASES],
)
def test_the_model_knows_whether_a_tick_comes(
    built: Guest,
    tmp_path: Path,
    inject: Callable[[Watch], None],
    append: str,
    way: str,
    obstacle: str,
) -> None:
    built.folder = tmp_path
    with built.boot("jump", append=append) as watch:
        for name, offset in (("end", END), ("fault", FAULT)):
            watch.labels[name] = watch.page + offset
        watch.run_to("syscore_suspend")
        watch.capture(with_kernel=True)
        inject(watch)
        watch.run_to("page")
        answer = ji.can_tick_reach(after_set_up(watch.capture()))
        assert watch.run_to("end", "fault") == "end"
        ticks = int.from_bytes(watch.life.read_physical(watch.page + TICKS, 8), "little")
        print(f"{ticks} ticks; {answer.path}: {answer.obstacles}")
        assert answer.ticks_now == (ticks > 0), (ticks, answer.obstacles)
        assert answer.path == way
        assert any(obstacle in text for text in answer.obstacles) or not obstacle
