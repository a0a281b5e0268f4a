# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of files that are mostly holes (guest RAM, disks), with a fingerprint of their content."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator

# Bytes. Blocks of zeros become holes, so copies do not depend on what a file system calls a hole.
BLOCK = 64 << 10
_ZEROS = bytes(BLOCK)


def copy_sparse(source: int, target: int) -> str:
    """Copies all of the file ``source`` into the empty file ``target``, both by descriptor; returns
    the fingerprint of what was read. Blocks of zeros are left out."""
    os.ftruncate(target, os.fstat(source).st_size)
    return _walk(source, target)


def copy_differences(source: int, target: int) -> None:
    """Makes ``target`` read as ``source``, of the same size; writes what differs alone."""
    for offset in sorted({*_blocks(source), *_blocks(target)}):
        wanted = os.pread(source, BLOCK, offset)
        if os.pread(target, BLOCK, offset) != wanted:
            _write(target, wanted, offset)


def fingerprint(file: int) -> str:
    """Of size and content: the same for two files that read the same, wherever their holes are."""
    return _walk(file, None)


def _walk(source: int, target: int | None) -> str:
    digest = hashlib.sha256(str(os.fstat(source).st_size).encode())
    for offset in _blocks(source):
        block = os.pread(source, BLOCK, offset)
        if block == _ZEROS[: len(block)]:
            continue
        digest.update(offset.to_bytes(8, "little"))
        digest.update(block)
        if target is not None:
            _write(target, block, offset)
    return digest.hexdigest()


def _blocks(file: int) -> Iterator[int]:
    """Offsets of the blocks that hold data."""
    at = 0
    while True:
        try:
            start = os.lseek(file, at, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:  # only a hole is left
                return
            raise
        end = os.lseek(file, start, os.SEEK_HOLE)
        start = max(at, start // BLOCK * BLOCK)
        yield from range(start, end, BLOCK)
        at = -(-end // BLOCK) * BLOCK


def _write(file: int, data: bytes, offset: int) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(file, data[done:], offset + done)
