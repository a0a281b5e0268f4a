# SPDX-License-Identifier: GPL-2.0-or-later
"""Guest RAM as a file: where it is, and which part of it stands at which guest address."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from harness.errors import InfraError

GIB = 1 << 30
ABOVE_4G = 4 * GIB


@dataclass(frozen=True)
class RamRange:
    """``size`` bytes of RAM at guest physical ``gpa``, at ``offset`` of the RAM file."""

    gpa: int
    size: int
    offset: int


def q35_layout(memory: int) -> tuple[RamRange, ...]:
    """Where QEMU's q35 machine puts ``memory`` bytes of RAM (hw/i386/pc_q35.c, pc_q35_init).

    The PCI hole takes the last GiB below 4 GiB, or the last two if RAM reaches that far. The
    640 KiB–1 MiB hole is not one: the file has those bytes, but the guest sees devices and ROM.
    """
    below = min(memory, 2 * GIB if memory >= 0xB0000000 else 0xB0000000)
    ranges = [RamRange(0, below, 0)]
    if memory > below:
        ranges.append(RamRange(ABOVE_4G, memory - below, below))
    return tuple(ranges)


class RamFile:
    """An anonymous memory file: gone with its last user, however the rig ends.

    No path on a tmpfs, so that a small /dev/shm (64 MiB in containers) does not matter.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        available = _available_memory()
        if available is not None and size > available:
            raise InfraError(
                f"guest RAM of {size >> 20} MiB: this host has {available >> 20} MiB left; "
                "use less --memory"
            )
        self.fd = os.memfd_create("jumpback-ram", os.MFD_CLOEXEC)
        os.ftruncate(self.fd, size)
        self.ranges = q35_layout(size)

    @property
    def path(self) -> Path:
        """Opens the file from this process and from its children while this object is open."""
        return Path(f"/proc/{os.getpid()}/fd/{self.fd}")

    def read(self, gpa: int, length: int) -> bytes:
        """Guest physical memory; for small pieces. Raises InfraError outside of RAM."""
        return os.pread(self.fd, length, self._offset(gpa, length))

    def write(self, gpa: int, data: bytes) -> None:
        """For faults, in data only: code that the machine has translated would not be seen to."""
        os.pwrite(self.fd, data, self._offset(gpa, len(data)))

    def _offset(self, gpa: int, length: int) -> int:
        """Where ``length`` bytes at ``gpa`` stand in the file."""
        for part in self.ranges:
            if part.gpa <= gpa and gpa + length <= part.gpa + part.size:
                return part.offset + gpa - part.gpa
        raise InfraError(f"{length} bytes at guest physical {gpa:#x}: not RAM of this machine")

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _available_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    except OSError:
        pass
    return None
