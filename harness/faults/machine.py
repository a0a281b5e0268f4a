# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults of the machine itself."""

from __future__ import annotations

import os
import signal

from harness.hibernation.site import TamperSite


def kill(site: TamperSite) -> None:
    """SIGKILL for the machine's process, as the OOM killer does it."""
    os.kill(site.life.pid, signal.SIGKILL)
    site.done.append("the machine's process was killed")
