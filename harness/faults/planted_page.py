# SPDX-License-Identifier: GPL-2.0-or-later
"""A byte of the guest that nobody uses but us, for faults that flip one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.errors import InfraError

if TYPE_CHECKING:
    from harness.oracles.liveness import Planted

PAGE = 4096
SPARE_OFFSET = 0x800  # of the byte that is flipped, in a planted page whose start is in use


def planted_page(address: int | None) -> int:
    """Guest physical, of the page that the agent planted something in at ``address``."""
    if address is None:
        raise InfraError(
            "the guest does not tell physical addresses (CONFIG_PROC_PAGE_MONITOR=y): "
            "this fault needs one"
        )
    return address & ~(PAGE - 1)


def spare_byte(planted: Planted) -> int:
    """Guest physical."""
    return planted_page(planted.spare.pa) + SPARE_OFFSET
