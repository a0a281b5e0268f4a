# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults inside the guest: RAM, registers, processes."""

from __future__ import annotations

from harness.agent_state import CounterState, TmpfileState
from harness.errors import InfraError
from harness.faults import saved_ioapic
from harness.faults.planted_page import PAGE, SPARE_OFFSET, planted_page
from harness.hibernation.site import TamperSite
from harness.oracles.liveness import COUNTER, NONCE, TMPFILE


def spare_page(site: TamperSite) -> int:
    """Guest physical address of a page whose second half nobody uses but us."""
    return planted_page(site.planted.nonce.pa)


def flip_restored_byte(site: TamperSite) -> None:
    gpa = spare_page(site) + SPARE_OFFSET
    _flip(site, gpa)
    site.done.append(f"flipped RAM byte at GPA {gpa:#x}")


def flip_copied_byte(site: TamperSite) -> None:
    """In the kernel's copy of the planted page, which the image is written from."""
    gpa = spare_page(site)
    original = site.life.ram.read(gpa, PAGE)
    for part in site.life.ram.ranges:
        for offset in range(0, part.size, PAGE):
            copy = part.gpa + offset
            if copy != gpa and site.life.ram.read(copy, PAGE) == original:
                _flip(site, copy + SPARE_OFFSET)
                site.done.append(f"flipped a byte of {gpa:#x}'s copy at GPA {copy:#x}")
                return
    raise InfraError(f"the kernel has no copy of the page at {gpa:#x}: was the snapshot taken?")


def _flip(site: TamperSite, gpa: int) -> None:
    byte = site.life.ram.read(gpa, 1)[0]
    site.life.ram.write(gpa, bytes([byte ^ 0x01]))


def change_register(site: TamperSite) -> None:
    """RSI: saved and restored, yet no C code relies on it across a call."""
    value = site.life.registers(0).general["rsi"]
    site.life.write_register(0, "rsi", value ^ 0x10)
    site.done.append(f"changed rsi from {value:#x} to {value ^ 0x10:#x}")


def change_saved_ioapic(site: TamperSite) -> None:
    site.done.append(saved_ioapic.change_saved_ioapic(site.life, site.symbols))


def replant_nonce(site: TamperSite) -> None:
    site.guest.agent.plant(NONCE, "0" * 16)
    site.done.append("planted another nonce")


def kill_counter(site: TamperSite) -> None:
    pid = site.guest.agent.query(COUNTER, CounterState).pid
    site.guest.agent.run(f"kill -9 {pid}")
    site.done.append(f"killed the counting process {pid}")


def overwrite_tmpfile(site: TamperSite) -> None:
    path = site.guest.agent.query(TMPFILE, TmpfileState).path
    site.guest.agent.run(f"printf X | dd of={path} bs=1 seek=4321 conv=notrunc; true")
    site.done.append(f"overwrote byte 4321 of {path}")


def arm_panic(site: TamperSite) -> None:
    """Through the kernel's own SysRq; the agent's answer never comes."""
    site.done.append("echo c > /proc/sysrq-trigger")
    site.guest.agent.run("echo c > /proc/sysrq-trigger", timeout=1.0)


def spin(site: TamperSite) -> None:
    """`jmp .` where swsusp_write() would begin: interrupts stay on, nothing ever happens again."""
    site.life.write_virtual(site.symbols.address("swsusp_write"), b"\xeb\xfe")
    site.done.append("swsusp_write() now spins for ever")


def triple_fault(site: TamperSite) -> None:
    """`ud2` with an IDT of limit 0: neither the fault nor the double fault finds a handler."""
    address = site.symbols.address("swsusp_write")
    # push 0; push 0; lidt [rsp]; ud2: the same bytes in 64-bit and in 32-bit mode.
    code = b"\x6a\x00\x6a\x00\x0f\x01\x1c\x24\x0f\x0b"
    site.life.write_virtual(address, code)
    site.done.append("swsusp_write() now loads an empty IDT and faults")
