# SPDX-License-Identifier: GPL-2.0-or-later
"""The relocation model against plain copies, and the rate of relocate-check."""

from __future__ import annotations

from harness.bench import native
from harness.bench.figures import Aim, Figure

TARGET = "jumpback_relocate_bench"
CHECK_TARGET = "jumpback_relocate_check_bench"
_RATE = 1000.0  # cases a second


def moving(seconds: float) -> list[Figure]:
    """The model's moves, against the same moves as plain memcpy of whole pages."""
    figures = []
    for record in native.run(TARGET, "/ratio", seconds):
        way, action = record["name"].split("/")[:2]
        order = "in the kernel's order" if way.endswith("in_order") else "end result only"
        figures.append(
            Figure(
                f"relocate pages in the model, {action}, {order}",
                f"{native.milliseconds(record):.2f} ms for both",
                float(record["of_memcpy"]),
                "the same moves as plain memcpy of whole pages",
                Aim.AT_LEAST,
                0.8,
                "memory bandwidth, as memcpy reaches it",
            )
        )
    return figures


def checking(seconds: float) -> list[Figure]:
    """relocate-check's rate on each kernel that is built, with lists of up to 16 pages."""
    made = {}
    figures = []
    for record in native.run(CHECK_TARGET, "/making/", seconds):
        made[record["name"].split("/")[2]] = float(record["cases_per_second"])
    for record in native.run(CHECK_TARGET, "/pages:16$", seconds):
        kernel = record["name"].split("/")[2]
        rate = float(record["cases_per_second"])
        figures.append(
            Figure(
                f"relocate-check {kernel}, lists of up to 16 pages, there and back, one core",
                f"{rate:.0f} cases a second",
                rate / _RATE,
                f"{_RATE:.0f} cases a second",
                Aim.AT_LEAST,
                1.0,
                f"making the cases without running them: {made[kernel]:.0f} a second",
            )
        )
    return figures
