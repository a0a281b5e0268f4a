# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that the rig puts into its own runs, each with what it must answer.

A tamper is the red twin of an oracle: `jumpback run hibernate-disk --tamper NAME` must end with the
verdict and the oracle that stand here (scenarios/tests/test_red_twins.py holds it to that).
Every hook gets the ``TamperSite`` and notes in ``site.done`` what it did.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from harness.faults import disk, forget, guest, machine
from harness.hibernation.site import TamperSite
from harness.verdict import Verdict

Hook = Callable[[TamperSite], None]


def _nothing(_: TamperSite) -> None:
    """Most tampers act at one moment only."""


@dataclass(frozen=True)
class Tamper:
    name: str
    summary: str
    oracle: str = ""  # of the finding that it must cause; "" if the verdict says all
    verdict: Verdict = Verdict.FAIL
    stage: str = ""  # that must be blamed
    before_save: Hook = _nothing  # the guest runs, the agent listens
    at_entry: Hook = _nothing  # stands at swsusp_arch_suspend, nothing is copied yet
    at_snapshot: Hook = _nothing  # stands still; RAM has been captured
    after_power_off: Hook = _nothing  # the disk is about to be verified
    between_lives: Hook = _nothing  # the disk has been read, the next life has not run yet
    at_restore: Hook = _nothing  # stands at restore_registers
    at_return: Hook = _nothing  # stands behind the call of swsusp_arch_suspend
    after_resume: Hook = _nothing  # the guest runs, the agent listens
    append_to_next_life: str = ""
    next_life_other_arch: bool = False
    limits: Mapping[str, float] = field(default_factory=dict)  # seconds a stage, else as usual
    disk_mib: int = 0  # swap disk size; 0: as usual

    @property
    def acts_by_configuration(self) -> bool:
        """It changes what the run is made of; no hook says what it did."""
        return bool(self.append_to_next_life or self.disk_mib or self.next_life_other_arch)

    @property
    def expect(self) -> str:
        where = f", oracle {self.oracle}" if self.oracle else ""
        stage = f", stage {self.stage}" if self.stage else ""
        return f"{self.verdict.value}{where}{stage}"


_ALL = (
    Tamper(
        "image-byte",
        "one byte of one saved page is flipped on the disk between the lives (CRC put right)",
        oracle="restored-memory",
        stage="restore",
        between_lives=disk.flip_byte,
    ),
    Tamper(
        "image-swap",
        "two saved pages change places on the disk between the lives: sums stay, identity does not",
        oracle="restored-memory",
        stage="restore",
        between_lives=disk.swap_pages,
    ),
    Tamper(
        "image-crc",
        "one byte is flipped and the CRC left as it was: the kernel must refuse the image",
        oracle="life",
        stage="load-image",
        between_lives=disk.flip_byte_only,
    ),
    Tamper(
        "written-byte",
        "one byte is flipped before the image is verified, as if the kernel had written it wrong",
        oracle="image-content",
        stage="write-image",
        after_power_off=disk.flip_byte,
    ),
    Tamper(
        "forget-page",
        "the kernel is made to forget one page that it has to save",
        oracle="coverage",
        stage="snapshot",
        at_entry=forget.forget_page,
    ),
    Tamper(
        "copy-byte",
        "one byte of the kernel's own copy of a page is flipped in RAM, before it is written",
        oracle="image-content",
        stage="write-image",
        at_snapshot=guest.flip_copied_byte,
    ),
    Tamper(
        "restored-byte",
        "one byte of RAM is flipped when the restored kernel is about to run",
        oracle="restored-memory",
        stage="restore",
        at_restore=guest.flip_restored_byte,
    ),
    Tamper(
        "register",
        "one register is changed when the restored kernel returns from its snapshot",
        oracle="cpu",
        stage="restore",
        at_return=guest.change_register,
    ),
    Tamper(
        "ioapic",
        "one saved IOAPIC entry is changed before the resumed kernel writes it back",
        oracle="interrupts",
        stage="wake",
        at_return=guest.change_saved_ioapic,
    ),
    Tamper(
        "nonce",
        "the nonce in A's memory is planted anew after the resume",
        oracle="nonce",
        stage="restore",
        after_resume=guest.replant_nonce,
    ),
    Tamper(
        "kill-counter",
        "the counting process is killed after the resume",
        oracle="workload",
        stage="check",
        after_resume=guest.kill_counter,
    ),
    Tamper(
        "tmpfile",
        "one byte of the half-written file is overwritten after the resume",
        oracle="workload",
        stage="check",
        after_resume=guest.overwrite_tmpfile,
    ),
    Tamper(
        "fresh-boot",
        "the next life is told not to resume: a fresh boot must not pass for a resume",
        oracle="life",
        stage="load-image",
        append_to_next_life="noresume",
    ),
    Tamper(
        "small-disk",
        "the swap disk has 4 MiB: no image fits",
        oracle="life",
        stage="write-image",
        disk_mib=4,
    ),
    Tamper(
        "other-kernel",
        "the next life boots a kernel of the other architecture, to which the image is foreign",
        oracle="life",
        stage="load-image",
        next_life_other_arch=True,
    ),
    Tamper(
        "foreign-image",
        "the restore magic in the image's header is another one",
        oracle="life",
        stage="load-image",
        between_lives=disk.change_magic,
    ),
    Tamper(
        "panic",
        "the kernel is made to panic while it saves",
        verdict=Verdict.PANIC,
        stage="save",
        before_save=guest.arm_panic,
    ),
    Tamper(
        "hang",
        "the kernel is made to spin for ever when it has taken its snapshot",
        verdict=Verdict.HANG,
        stage="write-image",
        limits={"write-image": 8.0},
        at_snapshot=guest.spin,
    ),
    Tamper(
        "triple-fault",
        "the CPU loses its IDT and faults when the snapshot has been taken",
        oracle="life",
        stage="write-image",
        at_snapshot=guest.triple_fault,
    ),
    Tamper(
        "kill-machine",
        "the machine's process is killed while the image is written",
        verdict=Verdict.INFRA,
        stage="write-image",
        at_snapshot=machine.kill,
    ),
)

TAMPERS: dict[str, Tamper] = {tamper.name: tamper for tamper in _ALL}
