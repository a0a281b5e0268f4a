# SPDX-License-Identifier: GPL-2.0-or-later
"""Writes initramfs archives: cpio's "newc" format (Documentation/driver-api/early-userspace/
buffer-format.rst). The same entries give the same bytes: times, owners and inode numbers are fixed.
"""

from __future__ import annotations

import stat
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    """One file of the archive; ``mode`` holds type and permissions, as in ``st_mode``."""

    mode: int
    data: bytes = b""  # a symbolic link's target
    device: tuple[int, int] = (0, 0)  # major, minor of a device node


def directory(mode: int = 0o755) -> Entry:
    return Entry(stat.S_IFDIR | mode)


def regular(data: bytes, mode: int = 0o644) -> Entry:
    return Entry(stat.S_IFREG | mode, data)


def symlink(target: str) -> Entry:
    return Entry(stat.S_IFLNK | 0o777, target.encode())


def character_device(major: int, minor: int, mode: int = 0o600) -> Entry:
    return Entry(stat.S_IFCHR | mode, device=(major, minor))


def write_cpio(entries: Mapping[str, Entry]) -> bytes:
    """The archive. Paths are absolute guest paths; missing parent folders are added.

    ValueError: a path is not absolute, or a file stands where a folder has to be.
    """
    every = dict(entries)
    for path in entries:
        if not path.startswith("/") or path.endswith("/"):
            raise ValueError(f"{path!r}: expected an absolute path of a file")
        parent = path.rpartition("/")[0]
        while parent:
            if not stat.S_ISDIR(every.setdefault(parent, directory()).mode):
                raise ValueError(f"{path!r} cannot be below {parent!r}, which is not a folder")
            parent = parent.rpartition("/")[0]
    # In sorted order a folder comes before what is in it: the kernel makes none on its own.
    parts = [_record(path[1:], every[path], inode) for inode, path in enumerate(sorted(every), 1)]
    parts.append(_record("TRAILER!!!", Entry(0), 0))
    return b"".join(parts)


def _record(name: str, entry: Entry, inode: int) -> bytes:
    raw = name.encode() + b"\0"
    numbers = (
        inode,
        entry.mode,
        0,  # uid
        0,  # gid
        2 if stat.S_ISDIR(entry.mode) else 1,  # links; the kernel joins files of several links
        0,  # mtime
        len(entry.data),
        0,  # device the file is on: major, minor
        0,
        *entry.device,
        len(raw),
        0,  # sum, of the "crc" format only
    )
    head = b"070701" + b"".join(b"%08X" % number for number in numbers) + raw
    return _pad(head) + _pad(entry.data)


def _pad(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)
