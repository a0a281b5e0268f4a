# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds the guest: an initramfs of busybox and the agent (fixtures/agent), from the cache if it is
there. A key stands for all that goes in: the agent, busybox, further files.
"""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.guest_cpio import Entry, character_device, directory, regular, symlink, write_cpio
from harness.guest_program import GuestImageError, arch_flags, build_program, content_key
from kernel import debian
from kernel.cache import Cache
from kernel.errors import KernelError
from kernel.progress import Progress, Silent

AGENT_SOURCES = Path(__file__).resolve().parent.parent / "fixtures" / "agent"
HOST_BUSYBOX = Path("/bin/busybox")

# For scripts that the guest's shell starts by name through another program; the shell itself
# needs no links, it finds busybox's applets without.
_APPLETS = (
    "awk basename cat chmod chroot cmp cp cut date dd df dmesg echo env expr false find free "
    "grep halt head hexdump hostname id ifconfig kill ln ls md5sum mkdir mknod mkswap mktemp "
    "mount mv nice nproc od pidof poweroff printf ps pwd readlink reboot rm rmdir sed seq sh "
    "sha256sum sleep sort stat stty swapoff swapon sync tail tar taskset tee test time "
    "timeout top touch tr true umount uname uniq uptime usleep vi wc which xargs xxd"
).split()


@dataclass(frozen=True)
class GuestFile:
    """A file of the host that is put into the guest."""

    path: Path
    mode: int = 0o644


@dataclass(frozen=True)
class GuestImage:
    path: Path  # the initramfs, for QEMU's -initrd
    key: str
    arch: str
    size: int  # bytes of the archive


def build_guest(
    arch: str = "x86_64",
    busybox: Path | None = None,
    progress: Progress | None = None,
    *,
    files: Mapping[str, GuestFile] | None = None,
    compress: bool = False,
    cache: Cache | None = None,
) -> GuestImage:
    """The initramfs for ``arch`` (x86_64 or i386).

    ``busybox``: a static binary for the guest; by default Debian's busybox-static, as installed or,
    for a foreign architecture, from the mirror. ``files``: further files by guest path.
    ``compress``: gzip; off because under emulation unpacking costs more than copying.

    Raises GuestImageError, and UsageError's kin of kernel.errors when the mirror is of no help.
    """
    cache, progress = cache or Cache(), progress or Silent()
    source = _BusyboxSource.find(arch, busybox, progress, cache)
    agent = build_agent(arch, progress=progress, cache=cache)
    extra = {path: (file.path.read_bytes(), file.mode) for path, file in (files or {}).items()}
    parts: list[str | bytes] = []
    for path in sorted(extra):
        parts += [path, oct(extra[path][1]), extra[path][0]]
    key = content_key(
        Path(__file__).read_bytes(),
        Path(__file__).with_name("guest_cpio.py").read_bytes(),
        arch,
        agent.parent.name,
        source.digest,
        str(compress),
        *parts,
    )
    name = "initramfs.cpio.gz" if compress else "initramfs.cpio"
    place = cache.root / "guest" / key
    with cache.lock(f"guest-{key}"):
        if not (place / name).is_file():
            with cache.scratch(f"guest-{key}") as scratch:
                made = scratch / "image"
                made.mkdir()
                entries = _entries(agent.read_bytes(), source.read(scratch), extra)
                archive = write_cpio(entries)
                (made / name).write_bytes(
                    gzip.compress(archive, 1, mtime=0) if compress else archive
                )
                cache.publish_unsynced(made, place)
    return GuestImage(place / name, key, arch, (place / name).stat().st_size)


def build_agent(
    arch: str = "x86_64", *, progress: Progress | None = None, cache: Cache | None = None
) -> Path:
    """The agent's static binary for ``arch``. Raises GuestImageError."""
    return build_program(
        "agent", AGENT_SOURCES, arch, title="guest agent", progress=progress, cache=cache
    )


def _entries(
    agent: bytes, busybox: bytes, extra: Mapping[str, tuple[bytes, int]]
) -> dict[str, Entry]:
    entries = {f"/bin/{applet}": symlink("busybox") for applet in _APPLETS}
    entries |= {path: directory() for path in ("/dev", "/proc", "/sys", "/tmp", "/root", "/sbin")}
    # The kernel opens it for process 1 before anything is mounted.
    entries["/dev/console"] = character_device(5, 1)
    entries["/init"] = regular(agent, 0o755)
    entries["/bin/busybox"] = regular(busybox, 0o755)
    entries |= {path: regular(data, mode) for path, (data, mode) in extra.items()}
    return entries


@dataclass(frozen=True)
class _BusyboxSource:
    """A binary, or a .deb that holds one."""

    path: Path
    packed: bool
    digest: str

    @classmethod
    def find(
        cls, arch: str, busybox: Path | None, progress: Progress, cache: Cache
    ) -> _BusyboxSource:
        arch_flags(arch)
        if busybox is None and arch == "x86_64" and _is_static(HOST_BUSYBOX):
            busybox = HOST_BUSYBOX
        if busybox is not None:
            if not _is_static(busybox):
                raise GuestImageError(
                    f"{busybox}: expected a static ELF program (Debian: busybox-static)"
                )
            return cls(busybox, False, hashlib.sha256(busybox.read_bytes()).hexdigest())
        try:
            deb = debian.fetch_package(
                "busybox-static", debian.host_suite(), arch, progress=progress, cache=cache
            )
        except KernelError as error:
            raise GuestImageError(f"busybox-static for {arch}: {error}") from error
        return cls(deb, True, hashlib.sha256(deb.read_bytes()).hexdigest())

    def read(self, scratch: Path) -> bytes:
        if not self.packed:
            return self.path.read_bytes()
        debian.extract(self.path, scratch / "busybox")
        for name in ("bin/busybox", "usr/bin/busybox"):
            binary = scratch / "busybox" / name
            if binary.is_file():
                return binary.read_bytes()
        raise GuestImageError(f"{self.path}: holds no bin/busybox")


def _is_static(path: Path) -> bool:
    """Whether ``path`` is an ELF program without PT_INTERP, that is, needs no libraries."""
    try:
        head = path.read_bytes()[:4096]
    except OSError:
        return False
    if head[:4] != b"\x7fELF" or len(head) < 64:
        return False
    wide = head[4] == 2  # ELFCLASS64
    table = int.from_bytes(head[32:40] if wide else head[28:32], "little")
    size, count = (54, 56) if wide else (42, 44)
    entry_size = int.from_bytes(head[size : size + 2], "little")
    entries = int.from_bytes(head[count : count + 2], "little")
    types = {head[table + i * entry_size :][:4] for i in range(entries)}
    return b"\x03\0\0\0" not in types
