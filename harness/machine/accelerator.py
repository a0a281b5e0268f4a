# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM or TCG: decided by a probe that runs guest code, never by the mere device file.

Some hosts offer a /dev/kvm that only emulates, far too slowly for a kernel.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple, Protocol

from harness.errors import SkipError, UsageError

ENVIRONMENT = "JUMPBACK_ACCEL"  # the same words as --accel; an explicit --accel wins


class KvmProbe(Protocol):
    """What ``jumpback_vm.kvm_probe()`` returns."""

    @property
    def usable(self) -> bool:
        ...

    @property
    def line(self) -> str:
        """One line: what was measured, and what it means."""
        ...


class Accelerator(NamedTuple):
    name: str  # "tcg" or "kvm"
    reason: str  # one line, recorded in every result


def _native_probe() -> KvmProbe:
    import jumpback_vm  # built by CMake; late, so that an explicit "tcg" needs no build

    probe: KvmProbe = jumpback_vm.kvm_probe()
    return probe


def choose_accelerator(
    requested: str = "auto", probe: Callable[[], KvmProbe] = _native_probe
) -> Accelerator:
    """``requested``: "tcg", "kvm" or "auto" (the environment's JUMPBACK_ACCEL, else the probe).

    Raises SkipError where "kvm" is asked for and unusable, UsageError for other words.
    """
    source = "asked for"
    if requested == "auto" and os.environ.get(ENVIRONMENT):
        requested, source = os.environ[ENVIRONMENT], f"by {ENVIRONMENT}"
    if requested == "tcg":
        return Accelerator("tcg", source)
    if requested not in ("auto", "kvm"):
        raise UsageError(f"accelerator {requested!r} ({source}): tcg, kvm or auto was expected")
    try:
        result = probe()
        usable = result.usable
        text = result.line.removeprefix("TCG: ").removeprefix("KVM: ")
    except ImportError as error:
        usable, text = False, f"KVM not probed: the native module is not built ({error})"
    if usable:
        return Accelerator("kvm", text)
    if requested == "kvm":
        raise SkipError(f"KVM was {source}: {text}")
    return Accelerator("tcg", text)
