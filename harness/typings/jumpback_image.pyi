# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux hibernation images (swsusp) in buffers: read, check, compare, alter, write.

Buffers go in without a copy (bytes, bytearray, mmap, memoryview: anything contiguous) and come
out as
read-only memoryviews that keep the image alive. `parse` runs without the GIL. docs/image-
format.md tells
what the fields mean. Page frame numbers are plain ints; offsets and lengths are bytes.
"""
from typing import TypedDict

from _typeshed import ReadableBuffer, WriteableBuffer

class ImageError(Exception):
    """Something in the image is not as a kernel writes it; str() is "where: what"."""

    where: str  # the place: disk offset, swap map page and slot, unit, pfn list slot
    what: str  # what was found and what was expected

class ImageHeader(TypedDict):
    arch: str  # "x86_64" or "i386"
    layout: str  # what the image tells of the writing kernel, e.g. "6.6 or later"
    compression: str  # "lzo", "lz4" or "none"
    # swap header page
    header_page: int
    signature: str
    original_signature: str
    consumed: bool  # a resume has put the swap signature back already
    image_start: int  # first swap map page
    flags: int  # SF_*
    platform_mode: bool
    hardware_signature: int | None
    has_crc32: bool
    crc32: int
    crc32_computed: int
    crc_matches: bool  # True also for an image without CRC32 (nocompress)
    # swsusp_info page
    info_disk_offset: int
    jump_address: int
    jump_address_phys: int
    cr3: int
    magic: int
    e820_checksum: int
    e820_digest: bytes | None  # kernels before 5.13
    version_code: int
    num_physpages: int
    cpus: int
    image_pages: int  # data pages; frames that were all zero do not count
    meta_pages: int
    pages: int
    size: int
    # counted while reading
    zero_pages: int
    map_pages: int
    disk_pages: int

class PageLocation:
    """Where on the disk a frame's bytes come from."""

    @property
    def pfn(self) -> int: ...
    @property
    def zero(self) -> bool: ...  # no bytes of its own: extents are those of its pfn list page
    @property
    def stream_page(self) -> int: ...
    @property
    def compressed(self) -> bool: ...
    @property
    def unit(self) -> int: ...
    @property
    def unit_page(self) -> int: ...
    @property
    def first_entry(self) -> int: ...
    @property
    def entries(self) -> int: ...
    @property
    def extents(self) -> list[tuple[int, int]]: ...  # (disk offset, bytes), in order

class Image:
    @property
    def header(self) -> ImageHeader: ...
    @property
    def pfns(self) -> memoryview: ...  # uint64: all saved frames, ascending
    @property
    def zero_flags(self) -> memoryview: ...  # uint8: 1 where pfns[i] was all zero and has no data
    @property
    def stored_pfns(
        self,
    ) -> memoryview: ...  # uint64: frames with data; data has them in this order
    @property
    def zero_pfns(self) -> memoryview: ...  # uint64: frames without
    @property
    def data(self) -> memoryview: ...  # uint8: stored_pfns[i] at i * 4096
    @property
    def stream(self) -> memoryview: ...  # uint8: meta pages, then data
    def __contains__(self, pfn: int) -> bool: ...
    def page(
        self, pfn: int
    ) -> memoryview | None: ...  # 4096 bytes; None if the frame was not saved
    def location(self, pfn: int) -> PageLocation | None: ...

def parse(
    buffer: ReadableBuffer,
    *,
    header_page: int = 0,
    ignore_signature: bool = False,
    image_start: int | None = None,
    check_crc: bool = True,
    check_reserved: bool = True,
    pfn_limit: int | None = None,
) -> Image:
    """Read an image whose swap header is page `header_page` (resume_offset for a swap file:
    the buffer is
    then the whole block device). `ignore_signature`: also one that a resume has consumed.
    `pfn_limit`: the
    machine's first pfn that is not RAM. Raises ImageError, naming the place."""

class Problem:
    @property
    def where(self) -> str: ...
    @property
    def what(self) -> str: ...

def verify(
    buffer: ReadableBuffer,
    *,
    header_page: int = 0,
    ignore_signature: bool = False,
    image_start: int | None = None,
    check_reserved: bool = True,
    pfn_limit: int | None = None,
    most: int = 64,
) -> list[Problem]:
    """Empty: sound. Else what parse() would raise and, for a stream that is damaged, every
    further unit that
    does not decompress, `most` in all."""

class PageDifference:
    @property
    def pfn(self) -> int: ...
    @property
    def first_offset(self) -> int: ...  # in the page
    @property
    def count(self) -> int: ...  # differing bytes
    @property
    def a(self) -> int: ...  # the bytes at first_offset
    @property
    def b(self) -> int: ...

class ImageDiff:
    @property
    def only_a(self) -> list[int]: ...  # pfns
    @property
    def only_b(self) -> list[int]: ...
    @property
    def differing(self) -> list[PageDifference]: ...
    @property
    def equal(self) -> int: ...  # pages in both with the same bytes
    @property
    def same(self) -> bool: ...

def diff(a: Image, b: Image) -> ImageDiff:
    """Compare saved frames by content; a zero frame counts as 4096 zero bytes."""

class PatchedUnit:
    @property
    def unit(self) -> int: ...
    @property
    def compressed_before(self) -> int: ...
    @property
    def compressed_after(self) -> int: ...

class PatchReport:
    @property
    def pages(self) -> list[PageLocation]: ...  # of the altered frames
    @property
    def units(self) -> list[PatchedUnit]: ...  # rewritten; empty for a nocompress image
    @property
    def crc32_before(self) -> int: ...
    @property
    def crc32_after(self) -> int: ...

# The three below alter the image in a writable buffer (e.g. a shared mmap of the disk) so that
# a kernel still
# accepts it. They raise ImageError and leave the buffer alone if the image does not parse, the
# frame is not
# stored in it, or the changed unit does not compress into the disk pages it has.
# `fix_crc=False` leaves the
# header's CRC32 as it was; a kernel then refuses the image.

def replace_page(
    buffer: WriteableBuffer,
    pfn: int,
    page: ReadableBuffer,
    *,
    header_page: int = 0,
    ignore_signature: bool = False,
    check_crc: bool = True,
    fix_crc: bool = True,
) -> PatchReport:
    """Give frame `pfn` the 4096 bytes of `page`."""

def flip_byte(
    buffer: WriteableBuffer,
    pfn: int,
    offset: int,
    mask: int = 0xFF,
    *,
    header_page: int = 0,
    ignore_signature: bool = False,
    check_crc: bool = True,
    fix_crc: bool = True,
) -> PatchReport:
    """XOR the byte at `offset` (0 to 4095) of frame `pfn` with `mask` (1 to 255)."""

def swap_pages(
    buffer: WriteableBuffer,
    pfn_a: int,
    pfn_b: int,
    *,
    header_page: int = 0,
    ignore_signature: bool = False,
    check_crc: bool = True,
    fix_crc: bool = True,
) -> PatchReport:
    """Give each of two frames the other's content; they must differ."""

def write_image(
    buffer: WriteableBuffer,
    pfns: list[int],
    data: ReadableBuffer,
    *,
    zero_pfns: list[int] = ...,
    arch: str = "x86_64",
    compression: str = "lzo",
    num_physpages: int = 65536,
    header_page: int = 0,
    first_page: int = 1,
    scatter_seed: int | None = None,
    platform_mode: bool = False,
    hardware_signature: int | None = None,
) -> None:
    """Write an image as a kernel would into a writable buffer of whole pages: `data` has 4096
    bytes for each of
    `pfns` (ascending), `zero_pfns` (ascending) are marked as zero pages. Raises ImageError if
    it does not fit,
    ValueError for an unknown arch or compression."""
