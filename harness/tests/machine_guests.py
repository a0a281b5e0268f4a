# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests of a few instructions, assembled on the spot: a machine's events in a second each.

32-bit multiboot images for QEMU's -kernel: protected mode, flat segments, no paging.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from harness.machine import MachineConfig

LOAD = 0x100000  # guest physical

# Prints the string at %esi to ttyS0; clobbers eax, edx.
_PRINT = """
print:
        mov     $0x3f8, %edx
1:      lodsb
        test    %al, %al
        jz      2f
        out     %al, %dx
        jmp     1b
2:      ret
hang:   cli
        hlt
        jmp     hang
"""

_HEAD = """
        .section .text
        .globl _start
        .align 4
header: .long 0x1BADB002, 0, -0x1BADB002
_start: mov     $stack, %esp
"""

_TAIL = """
        .section .bss
        .align 16
        .skip 4096
stack:
"""

BODIES = {
    # PM1a control, where SeaBIOS puts it: SLP_EN, sleep type 0 is S5 and 2 is S4 by QEMU's DSDT.
    "s5": "mov $0x604, %dx; mov $0x2000, %ax; out %ax, %dx; jmp hang",
    "s4": "mov $0x604, %dx; mov $0x2800, %ax; out %ax, %dx; jmp hang",
    # Reset control register of the ICH9.
    "reset": "mov $0xcf9, %dx; mov $6, %al; out %al, %dx; jmp hang",
    "triple": "lidt none; int3; jmp hang; none: .word 0; .long 0",
    "panic": "mov $text, %esi; call print; jmp hang;"
    'text: .asciz "Kernel panic - not syncing: tiny\\n"',
    "hello": 'mov $text, %esi; call print; jmp hang; text: .asciz "hello\\r\\nhalf"',
    "hang": "jmp hang",
    "spin": "again: incl counter; jmp again; .align 4; .globl counter; counter: .long 0",
    # The loop whose every turn a breakpoint at "turn" sees; then S5.
    "count": "mov $50, %ecx; .globl turn; turn: incl counter; dec %ecx; jnz turn;"
    "mov $0x604, %dx; mov $0x2000, %ax; out %ax, %dx; jmp hang;"
    ".align 4; .globl counter; counter: .long 0",
    # Echoes one byte of ttyS1 back, incremented.
    "agent": "mov $0x2fd, %dx; 1: in %dx, %al; test $1, %al; jz 1b; mov $0x2f8, %dx;"
    "in %dx, %al; inc %al; out %al, %dx; jmp hang",
    # CPU 1 is started by INIT and SIPI; both then turn the same loop at the same time; CPU 0 waits
    # for CPU 1 and powers off.
    "smp": """
        mov     $trampoline, %esi
        mov     $0x8000, %edi
        mov     $(trampoline_end - trampoline), %ecx
        rep movsb
        movl    $0x000c4500, 0xfee00300
        mov     $10000, %ecx
1:      in      $0x80, %al
        loop    1b
        movl    $0x000c4608, 0xfee00300
2:      cmpl    $0, started
        je      2b
        call    work
3:      cmpl    $2, finished
        jne     3b
        mov     $0x604, %dx
        mov     $0x2000, %ax
        out     %ax, %dx
        jmp     hang
work:   mov     $50, %ecx
        .globl turn
turn:   lock incl counter
        dec     %ecx
        jnz     turn
        lock incl finished
        ret
cpu1:   mov     $0x10, %ax
        mov     %ax, %ds
        mov     %ax, %ss
        mov     $stack1, %esp
        movl    $1, started
        call    work
        jmp     hang
        .align 8
gdt:    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr:   .word 23
        .long gdt
        .align 4
        .globl counter
counter: .long 0
started: .long 0
finished: .long 0
        .code16
trampoline:
        cli
        xor     %ax, %ax
        mov     %ax, %ds
        lgdtl   %cs:(gdtr16 - trampoline)
        mov     %cr0, %eax
        or      $1, %al
        mov     %eax, %cr0
        ljmpl   $8, $cpu1
gdtr16: .word 23
        .long gdt
trampoline_end:
        .code32
        .section .bss
        .skip 1024
stack1:
        .section .text
""",
}


class TinyGuest:
    def __init__(self, image: Path) -> None:
        self.image = image
        listing = subprocess.run(["nm", image], capture_output=True, text=True, check=True).stdout
        rows = (line.split() for line in listing.splitlines())
        self.symbols = {row[2]: int(row[0], 16) for row in rows if len(row) == 3}

    def config(self, cpus: int = 1, **more: object) -> MachineConfig:
        return MachineConfig(
            bzimage=self.image, memory_mib=32, cpus=cpus, **more  # type: ignore[arg-type]
        )


def build(name: str, folder: Path) -> TinyGuest:
    """Assembles ``BODIES[name]``; skips the test where the tools are missing."""
    for tool in ("as", "ld", "nm", "qemu-system-x86_64"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed (Debian: binutils, qemu-system-x86)")
    source, image = folder / f"{name}.s", folder / f"{name}.elf"
    source.write_text(_HEAD + BODIES[name] + _PRINT + _TAIL)
    subprocess.run(["as", "--32", "-o", image.with_suffix(".o"), source], check=True)
    subprocess.run(
        ["ld", "-m", "elf_i386", f"-Ttext={LOAD:#x}", "-o", image, image.with_suffix(".o")],
        check=True,
    )
    return TinyGuest(image)
