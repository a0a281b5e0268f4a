# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults on the swap disk, in the image that the kernel has written."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Iterator

import jumpback_image

from harness.errors import InfraError
from harness.faults.guest import spare_page
from harness.faults.planted_page import SPARE_OFFSET
from harness.hibernation.site import TamperSite

PAGE_SHIFT = 12
# arch/x86/power/hibernate.c, RESTORE_MAGIC of x86_64 and i386
_MAGICS = (0x23456789ABCDEF02, 0x12345679)


@contextlib.contextmanager
def _writable(site: TamperSite) -> Iterator[mmap.mmap]:
    with site.disk.open("r+b") as disk, mmap.mmap(disk.fileno(), 0) as mapped:
        yield mapped


def _pfn(site: TamperSite) -> int:
    """A saved page that the guest does not miss a byte of."""
    return spare_page(site) >> PAGE_SHIFT


def flip_byte(site: TamperSite) -> None:
    with _writable(site) as image:
        jumpback_image.flip_byte(image, _pfn(site), SPARE_OFFSET, 0x01)
    site.done.append(f"flipped byte {SPARE_OFFSET:#x} of pfn {_pfn(site):#x} in the image")


def flip_byte_only(site: TamperSite) -> None:
    with _writable(site) as image:
        jumpback_image.flip_byte(image, _pfn(site), SPARE_OFFSET, 0x01, fix_crc=False)
    site.done.append(f"flipped byte {SPARE_OFFSET:#x} of pfn {_pfn(site):#x}; CRC left as it was")


def swap_pages(site: TamperSite) -> None:
    """The two planted pages: same bytes in sum, each in the other's place."""
    if site.planted.spare.pa is None:
        raise InfraError("the guest does not tell physical addresses (CONFIG_PROC_PAGE_MONITOR=y)")
    other = site.planted.spare.pa >> PAGE_SHIFT
    with _writable(site) as image:
        jumpback_image.swap_pages(image, _pfn(site), other)
    site.done.append(f"swapped pfn {_pfn(site):#x} and {other:#x} in the image")


def change_magic(site: TamperSite) -> None:
    """The restore magic of struct restore_data_record, which the loading kernel must check."""
    with _writable(site) as image:
        header = jumpback_image.parse(image).header
        start = header["info_disk_offset"]
        for magic in _MAGICS:
            size = 8 if magic >> 32 else 4
            found = image.find(magic.to_bytes(size, "little"), start, start + 4096)
            if found >= 0:
                image[found : found + size] = (magic ^ 1).to_bytes(size, "little")
                site.done.append(f"changed the restore magic at disk offset {found:#x}")
                return
    raise InfraError(f"no restore magic in the swsusp_info page at disk offset {start:#x}")
