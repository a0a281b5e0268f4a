# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernel images, guest RAM files and the KVM probe (vm/bindings).

Addresses, offsets and sizes are in bytes. Every function that reads a file raises VmError when the
file is not what was expected.
"""

import os
from collections.abc import Sequence
from typing import Literal

Path = str | os.PathLike[str]

class VmError(RuntimeError):
    where: str  # the file or call
    what: str  # what was found there and what was expected

class Vmlinux:
    """Symbols and contents of an x86 vmlinux; addresses are link addresses (run with nokaslr)."""

    def __init__(self, path: Path) -> None: ...
    @property
    def path(self) -> str: ...
    @property
    def arch(self) -> Literal["x86_64", "i386"]: ...
    @property
    def entry(self) -> int:
        """Physical address."""
    @property
    def banner(self) -> str:
        """linux_banner without its newline: "Linux version 6.1.192 (user@host) ..."."""
    @property
    def release(self) -> str:
        """The banner's third word: "6.1.192"."""
    @property
    def segments(self) -> list[tuple[int, int, int, int]]:
        """PT_LOAD segments: (virtual, physical, size in file, size in memory)."""
    def symbol(self, name: str) -> tuple[int, int]:
        """(address, size) of the one symbol of this name; size 0 when the file does not say.

        VmError if there is none, or if the name stands at several addresses.
        """
    def symbols(self, name: str) -> list[tuple[int, int]]:
        """All (address, size) of this name, by address."""
    def find(self, address: int) -> tuple[str, int] | None:
        """(symbol, offset) of the symbol that holds a virtual address; None in a gap."""
    def find_phys(self, address: int) -> tuple[str, int] | None:
        """The same for a physical address inside the kernel image."""
    def to_phys(self, address: int) -> int | None: ...
    def to_virt(self, address: int) -> int | None: ...
    def read(self, address: int, length: int) -> bytes:
        """Initial contents at a virtual address; .bss reads as zero."""
    def config(self) -> bytes | None:
        """The .config that CONFIG_IKCONFIG embeds; None if the kernel has none."""
    def sorted_symbols(self) -> list[tuple[int, int, str]]:
        """All (address, size, name), by address. A zero-based per-CPU symbol gives its offset."""

class BzImage:
    """The setup header of a bzImage (Linux: Documentation/x86/boot.rst)."""

    def __init__(self, path: Path) -> None: ...
    @property
    def protocol(self) -> int:
        """0x020f is 2.15."""
    @property
    def version(self) -> str:
        """ "6.1.192 (user@host) #1 SMP ..."; empty if the image has none."""
    @property
    def release(self) -> str: ...
    @property
    def setup_sectors(self) -> int: ...
    @property
    def loadflags(self) -> int: ...
    @property
    def xloadflags(self) -> int: ...
    @property
    def relocatable(self) -> bool: ...
    @property
    def kernel_alignment(self) -> int: ...
    @property
    def cmdline_size(self) -> int: ...
    @property
    def preferred_address(self) -> int: ...
    @property
    def init_size(self) -> int: ...
    @property
    def payload_offset(self) -> int: ...
    @property
    def payload_length(self) -> int: ...
    @property
    def has_64bit_entry(self) -> bool: ...
    @property
    def loadable_above_4g(self) -> bool: ...

class _Buffer:
    """Read-only bytes, also by the buffer protocol.

    Reading a hole of a tmpfs file through the view allocates its page; walk extents() and take the
    rest as zero.
    """

    def __len__(self) -> int: ...
    def extents(self) -> list[tuple[int, int]]:
        """Resident (offset, length), by offset."""
    def view(self) -> memoryview:
        """Zero-copy; keeps this object alive."""

class CaptureStats:
    @property
    def bytes_copied(self) -> int: ...
    @property
    def seconds(self) -> float: ...

class RamFile(_Buffer):
    """Guest RAM in a shared file, mapped read-only; regions are (gpa, file offset, length)."""

    def __init__(self, path: Path, regions: Sequence[tuple[int, int, int]]) -> None: ...
    @property
    def path(self) -> str: ...
    @property
    def regions(self) -> list[tuple[int, int, int]]: ...
    def offset_of(self, gpa: int) -> int | None: ...
    def gpa_at(self, offset: int) -> int | None: ...
    def read(self, gpa: int, length: int) -> bytes:
        """Bytes at a guest physical address, inside one region."""
    def capture(self, destination: Path | int) -> CaptureStats:
        """Copies what is resident into a new file (or an empty, writable fd); holes stay holes.

        The guest must be stopped. CapturePool.capture() is several times as fast.
        """

def q35_regions(total_bytes: int) -> list[tuple[int, int, int]]:
    """How QEMU's q35 lays out that much RAM: from 0xb0000000 bytes on, 2 GiB stay below 4 GiB."""

class Capture(_Buffer):
    """RAM at one moment. Its slot goes back to the pool when it and all views of it are gone."""

    @property
    def path(self) -> str: ...
    @property
    def stats(self) -> CaptureStats: ...
    def detach(self, path: Path) -> None:
        """Keeps the capture as this file: renamed, or copied to another file system."""

class CapturePool:
    """At most `slots` reusable files of `size` bytes in an existing folder, best on a tmpfs."""

    def __init__(self, folder: Path, size: int, slots: int = 2) -> None: ...
    def prepare(self, ram: RamFile) -> None:
        """Allocates and maps a slot's pages in advance, 0.4 ms a MiB; call while the guest runs."""
    def capture(self, ram: RamFile) -> Capture:
        """The guest must be stopped. VmError when all slots hold captures."""
    @property
    def in_use(self) -> int: ...
    @property
    def free(self) -> int: ...
    @property
    def limit(self) -> int: ...

class KvmProbe:
    @property
    def outcome(self) -> Literal["usable", "too slow", "absent", "no permission", "broken"]: ...
    @property
    def usable(self) -> bool: ...
    @property
    def api_version(self) -> int: ...
    @property
    def instructions_per_second(self) -> float:
        """Of a counting loop in the guest; 0 if it never ran."""
    @property
    def exit_microseconds(self) -> float:
        """Mean round trip of a port-I/O exit; 0 if not measured."""
    @property
    def seconds(self) -> float:
        """How long the probe took."""
    @property
    def line(self) -> str:
        """What will be used and why, in one line."""

def kvm_probe(device: Path = "/dev/kvm") -> KvmProbe:
    """Runs guest code on the device, in a child process and in less than half a second."""
