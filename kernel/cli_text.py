# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels as text for people."""

from __future__ import annotations

from collections.abc import Sequence

from kernel import catalogue
from kernel.selection import Listed
from kernel.under_test import KernelUnderTest

HEADINGS = ("KERNEL", "ARCH", "STATE", "RELEASE", "SOURCE", "SIZE", "CAUGHT BY")


def size_text(size: int) -> str:
    """Bytes as people read them, in powers of 1000 as disks are sold: "28.4 MB"."""
    value, unit = float(size), "B"
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def cells(listed: Listed) -> tuple[str, ...]:
    """One row of the table, in the order of HEADINGS."""
    return (
        listed.version,
        listed.arch,
        listed.state.value,
        listed.release or "-",
        listed.source_version or "-",
        size_text(listed.size) if listed.size else "-",
        listed.caught,
    )


def table(kernels: Sequence[Listed]) -> str:
    """The whole list in aligned columns."""
    rows = [HEADINGS, *(cells(kernel) for kernel in kernels)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    )


def details(kernel: KernelUnderTest) -> str:
    """What a person wants to know of one kernel, a line each."""
    pairs = [
        ("kernel", kernel.name),
        ("release", kernel.release),
        ("arch", kernel.arch),
        ("source", kernel.source_version or "the user's own"),
        ("bzImage", str(kernel.bzimage)),
        ("vmlinux", str(kernel.vmlinux)),
        ("config", str(kernel.config) if kernel.config else "none found"),
    ]
    if kernel.variant:
        variant = catalogue.find(kernel.name, kernel.arch).variant
        assert variant is not None
        pairs.append(("variant", f"{variant.kind}: {variant.symptom} ({variant.source})"))
        pairs.append(("caught", f"by {variant.scenario}, at {variant.stage}"))
    if kernel.fixed:
        pairs.append(("fixed", ", ".join(sorted(kernel.fixed))))
    lines = [f"{name:<8} {value}" for name, value in pairs]
    return "\n".join([*lines, *(f"warning: {warning}" for warning in kernel.warnings)])
