# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a kernel fits into the window that it is to live in: asked before anything is booted, for
a window that is too small is the user's, not the kernel's fault.
"""

from __future__ import annotations

from pathlib import Path

from jumpback_vm import BzImage

from harness.errors import UsageError
from harness.jump.loader import Window
from harness.kexec.calls import PAGE

# Of A's RAM the kernel itself takes; with the rest kimage's half-of-RAM rule is held
# (sanity_check_segment_list(), kernel/kexec_core.c).
_RESERVED = 16 << 20


def require_room(bzimage: Path, initrd: int, window: Window, memory: int) -> None:
    """``initrd``, ``memory``: bytes. The places are those of fixtures/jump/load.c. Raises
    UsageError."""
    image = BzImage(bzimage)
    end = window.last + 1
    load = image.preferred_address
    if load < window.first or load + image.init_size > end:
        load = -(-window.first // image.kernel_alignment) * image.kernel_alignment
    least = load + image.init_size + -(-initrd // PAGE) * PAGE
    if least > end:
        raise UsageError(
            f"--mem-max {window.last:#x} is too small: this kernel needs "
            f"{image.init_size >> 20} MiB from {load:#x} on and its initramfs "
            f"{-(-initrd >> 20)} MiB behind it; at least --mem-max {least - 1:#x} does"
        )
    half = (memory - _RESERVED) // 2
    if end - window.first > half:
        raise UsageError(
            f"--mem-min {window.first:#x} to --mem-max {window.last:#x} is more than half of A's "
            "RAM, which kexec_load refuses: use --memory "
            f"{2 * (end - window.first + _RESERVED) >> 20}"
        )
    if end > memory:
        raise UsageError(f"--mem-max {window.last:#x} lies beyond A's RAM of {memory >> 20} MiB")
