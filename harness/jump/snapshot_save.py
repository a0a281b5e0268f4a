# SPDX-License-Identifier: GPL-2.0-or-later
"""`jb-jump save` in B: A's memory image onto a disk (fixtures/jump/save.c)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from harness.agent import Agent
from harness.jump.departure import Departure
from harness.jump.loader import run_tool
from harness.jump.relocate_code import CODE_MAX, RelocateCode

# The list's head among the words that relocate_kernel saves behind its code up to 6.13, and on
# i386: CP_PA_BACKUP_PAGES_MAP, arch/x86/kernel/relocate_kernel_{32,64}.S. RSP, ESP is the first.
_MAP = {"x86_64": 0x30, "i386": 0x1C}
_RAM = re.compile(r"^([0-9a-f]+)-([0-9a-f]+) : System RAM$", re.M)


@dataclass(frozen=True)
class Saved:
    """As the tool says."""

    pages: int
    moved: int  # that stood elsewhere
    left_out: int
    stretches: int
    written: int  # bytes


@dataclass(frozen=True)
class ControlWords:
    """Where A's control page keeps what A itself needs for its way back: physical addresses."""

    map: int  # the head of the page list: the "backup pages map"
    stack: int  # the stack pointer, below which are the registers

    @staticmethod
    def of(departure: Departure) -> ControlWords:
        side = departure.side
        page = departure.arguments.control_page
        if not side.kernel.saved_words_in_data:
            return ControlWords(page + CODE_MAX + _MAP[side.arch], page + CODE_MAX)
        code = RelocateCode(side.symbols, True)
        return ControlWords(
            page + code.offset("pa_backup_pages_map"), page + code.offset("saved_rsp")
        )


def save(
    agent: Agent, device: str, control: ControlWords, limit: float, *, ignore_map: bool
) -> Saved:
    """The device must read as zeros. Raises GuestBroken."""
    words = ["save", "--device", device, "--zeroed"]
    words += ["--map", hex(control.map)]
    if not ignore_map:  # A's stack is not where it seems to be, then
        words += ["--stack", hex(control.stack)]
    words += ["--no-map"] if ignore_map else []
    return Saved(**run_tool(agent, words, Saved.__dataclass_fields__, limit))


def system_ram(agent: Agent) -> list[tuple[int, int]]:
    """First and last byte of each range, of the kernel that runs."""
    text = agent.run("cat /proc/iomem").text
    return [(int(first, 16), int(last, 16)) for first, last in _RAM.findall(text)]
