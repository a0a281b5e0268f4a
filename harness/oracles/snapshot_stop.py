# SPDX-License-Identifier: GPL-2.0-or-later
"""Stopping the kernel at the two moments of its snapshot, by symbols that every version has.

1. The entry of swsusp_arch_suspend(): devices, other CPUs and interrupts are off, the processor
   state is saved, nothing has been copied yet.
2. The entry of printk for swsusp_save()'s closing message "… (%d pages copied …)": the last page
   has been copied, and nothing but a few counters was written since (kernel/power/snapshot.c).
   copy_data_pages() itself is inlined, so it has no symbol to stop at.
"""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import BuildError
from harness.machine import Breakpoint, Event, GuestSaid, Life
from harness.machine.breakpoints import Hit
from harness.machine.registers import Registers
from harness.symbols import Symbols

ENTRY = "swsusp_arch_suspend"
WORD = {"x86_64": 8, "i386": 4}  # bytes

_COPIED = b"pages copied"
_FAILED = (b"Not enough free memory", b"Memory allocation failed")


@dataclass(frozen=True)
class SnapshotEntry:
    """The machine at swsusp_arch_suspend()."""

    registers: Registers
    return_address: int  # in create_image() or its caller


class SnapshotRefused(Exception):
    """swsusp_save() gave up, or hibernation ended before it; ``str()`` says why."""


def stop_at_entry(life: Life, symbols: Symbols) -> SnapshotEntry:
    """Waits until the kernel is about to take its snapshot; the machine stands still there.

    Raises SnapshotRefused if the guest comes back from hibernation without having got there.
    """
    address = symbols.address(ENTRY)
    _wait(life, address)
    life.remove_breakpoint(address)
    registers = life.registers(0)
    word = WORD[symbols.arch]
    returns_to = int.from_bytes(life.read_virtual(registers.sp, word), "little")
    return SnapshotEntry(registers, returns_to)


def arm_entry(life: Life, symbols: Symbols) -> None:
    """Sets the breakpoint that ``stop_at_entry`` waits for; before the guest is told to go."""
    life.add_breakpoint(symbols.address(ENTRY), ENTRY)


def stop_after_copy(life: Life, symbols: Symbols) -> None:
    """From the entry on until the last page has been copied; the machine stands still there."""
    printk = _printk(symbols)
    failure: list[str] = []

    def closing_message(hit: Hit) -> bool:
        if not symbols.holds("swsusp_save", hit.return_address(WORD[symbols.arch])):
            return False
        text = _format(hit, symbols.arch)
        if any(words in text for words in _FAILED):
            failure.append(text.decode("ascii", "replace").strip())
            return True
        return _COPIED in text

    life.add_breakpoint(printk, "printk", closing_message)
    life.resume()
    _wait(life, printk)
    life.remove_breakpoint(printk)
    if failure:
        raise SnapshotRefused(f"swsusp_save() gave up: {failure[0]}")


def _wait(life: Life, address: int) -> None:
    def wanted(event: Event) -> bool:
        return (isinstance(event, Breakpoint) and event.address == address) or (
            isinstance(event, GuestSaid) and event.name == "resumed"
        )

    event = life.wait(wanted)
    if isinstance(event, GuestSaid):
        raise SnapshotRefused(f"hibernation ended before the snapshot: {event.text}")


def _printk(symbols: Symbols) -> int:
    # printk() became a macro around _printk() in 5.15 (commit 337015573718).
    for name in ("_printk", "printk"):
        if symbols.all(name):
            return symbols.address(name)
    raise BuildError(
        f"{symbols.path} has neither _printk nor printk: the rig stops the kernel there; "
        "set CONFIG_PRINTK=y"
    )


def _format(hit: Hit, arch: str) -> bytes:
    """printk's format string, without its level. Variadic functions take arguments on i386's
    stack also under -mregparm=3."""
    if arch == "x86_64":
        pointer = hit.register("rdi")
    else:
        pointer = int.from_bytes(hit.read_virtual(hit.register("rsp") + 4, 4), "little")
    # A string near the end of a mapping: read no further than its page.
    length = min(128, 4096 - pointer % 4096)
    return hit.read_virtual(pointer, length).split(b"\0")[0]
