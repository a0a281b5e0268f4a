# SPDX-License-Identifier: GPL-2.0-or-later
"""What the faults of harness/jump/tampers.py do. Each notes in ``site.done`` what it did."""

from __future__ import annotations

from harness.agent_state import CounterState
from harness.faults import saved_ioapic
from harness.faults.planted_page import spare_byte
from harness.jump.site import JumpSite
from harness.jump.travel import Kernel
from harness.kexec.calls import PAGE
from harness.oracles.liveness import COUNTER, NONCE


def _spare(kernel: Kernel) -> int:
    assert kernel.planted is not None
    return spare_byte(kernel.planted)


def _flip(site: JumpSite, gpa: int, whose: str) -> None:
    byte = site.life.ram.read(gpa, 1)[0]
    site.life.ram.write(gpa, bytes([byte ^ 1]))
    site.done.append(f"flipped RAM byte at GPA {gpa:#x}, {whose}")


def _away(kernel: Kernel, gpa: int) -> int:
    """Where the byte stands while ``kernel`` is away: pages of the window have changed places."""
    assert kernel.departure is not None
    source = kernel.departure.moves.source_of(gpa // PAGE)
    return gpa if source is None else source * PAGE + gpa % PAGE


def flip_at_entry(site: JumpSite) -> None:
    """``running`` is still the kernel that has left."""
    kernel = site.travel.running
    _flip(site, _away(kernel, _spare(kernel)), f"{kernel.role}'s, which has just left")


def flip_in_callee(site: JumpSite) -> None:
    with site.life.paused():
        _flip(site, _away(site.travel.a, _spare(site.travel.a)), "A's, while B runs")


def flip_at_return(site: JumpSite) -> None:
    """``running`` is the kernel that is about to return."""
    kernel = site.travel.running
    _flip(site, _spare(kernel), f"{kernel.role}'s, whose memory was just swapped back")


def flip_image_page(site: JumpSite) -> None:
    """One that B has left, where A keeps it."""
    away = _away(site.travel.a, _spare(site.travel.b))
    _flip(site, away, "B's, in A's image")


def hide_way_back(site: JumpSite) -> None:
    """The stub then finds no room for the words on B's command line (fixtures/jump/stub.h)."""
    loaded = site.travel.loaded
    assert loaded is not None
    site.life.write_virtual(loaded.word + 8, bytes(8))
    site.done.append(f"cleared the stub's command_line_end at {loaded.word + 8:#x}")


def change_register(site: JumpSite) -> None:
    """RBX: C code relies on it across a call; here its caller need not."""
    value = site.life.registers(0).general["rbx"]
    site.life.write_register(0, "rbx", value ^ 0x10)
    site.done.append(f"changed rbx from {value:#x} to {value ^ 0x10:#x}")


def change_saved_ioapic(site: JumpSite) -> None:
    site.done.append(saved_ioapic.change_saved_ioapic(site.life, site.symbols))


def kill_counter(site: JumpSite) -> None:
    with site.travel.link.asking() as agent:
        pid = agent.query(COUNTER, CounterState).pid
        agent.run(f"kill -9 {pid}")
    site.done.append(f"killed the counting process {pid}")


def replant_nonce(site: JumpSite) -> None:
    with site.travel.link.asking() as agent:
        agent.plant(NONCE, "0" * 16)
    site.done.append("planted another nonce")


def panic(site: JumpSite) -> None:
    """Through B's own SysRq; the agent's answer never comes."""
    site.done.append("echo c > /proc/sysrq-trigger in B")
    with site.travel.link.asking() as agent:
        agent.run("echo c > /proc/sysrq-trigger", timeout=1.0)


def spin(site: JumpSite) -> None:
    """`jmp .` where B's machine_kexec() would begin."""
    with site.life.paused():
        site.life.write_virtual(site.symbols.address("machine_kexec"), b"\xeb\xfe")
    site.done.append("B's machine_kexec() now spins for ever")


def triple_fault(site: JumpSite) -> None:
    """`ud2` with an IDT of limit 0: neither the fault nor the double fault finds a handler."""
    # push 0; push 0; lidt [rsp]; ud2: the same bytes in 64-bit and in 32-bit mode.
    code = b"\x6a\x00\x6a\x00\x0f\x01\x1c\x24\x0f\x0b"
    with site.life.paused():
        site.life.write_virtual(site.symbols.address("machine_kexec"), code)
    site.done.append("B's machine_kexec() now loads an empty IDT and faults")
