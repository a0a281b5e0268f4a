# SPDX-License-Identifier: GPL-2.0-or-later
"""Exceptions of the harness, named by whose fault it is.

    JumpbackError
    ├── UsageError    the command line or a given file is wrong: exit 2, says what to do
    ├── BuildError    no kernel to run: verdict BUILD
    ├── SkipError     a precondition is missing: verdict SKIP, with its reason
    ├── InfraError    the rig or the host failed, not the kernel: verdict INFRA
    │   └── LostMachine   the machine's process died or its control connection broke
    ├── GuestBroken   user space in the guest is not what it has to be: a failed check
    ├── GuestPanic    the kernel under test panicked: verdict PANIC
    └── GuestHang     a stage passed its time limit: verdict HANG
"""

from __future__ import annotations


class JumpbackError(Exception):
    """Base class; ``str()`` is a sentence for the user."""


class UsageError(JumpbackError):
    pass


class BuildError(JumpbackError):
    pass


class SkipError(JumpbackError):
    pass


class InfraError(JumpbackError):
    pass


class LostMachine(InfraError):
    pass


class GuestBroken(JumpbackError):
    pass


class GuestPanic(JumpbackError):
    pass


class GuestHang(JumpbackError):
    pass
