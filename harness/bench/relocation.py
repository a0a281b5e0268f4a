# SPDX-License-Identifier: GPL-2.0-or-later
"""The relocation model against plain copies, and the rate of relocate-check."""

from __future__ import annotations

from harness.bench import native
from harness.bench.figures import Aim, Figure

TARGET = "jumpback_relocate_bench"


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
