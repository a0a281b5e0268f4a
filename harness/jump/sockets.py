# SPDX-License-Identifier: GPL-2.0-or-later
"""CPUs that a kernel without ACPI finds."""

from __future__ import annotations


def one_cpu_a_socket(cpus: int) -> tuple[str, ...]:
    """QEMU's arguments: the BIOS's MP table, all that is left with acpi=off, has one CPU of each
    socket, and QEMU puts them all into one."""
    return ("-smp", f"cpus={cpus},sockets={cpus},cores=1,threads=1")
