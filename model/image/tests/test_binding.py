# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python module over the image reader: buffers, errors, tampering (ctest: image.binding)."""
import mmap
import random
from collections.abc import Iterator
from pathlib import Path

import jumpback_image
import pytest

PAGE = 4096
PFNS = [3, 4, 7, 900, 901, 4000]
ZERO = [5, 1000]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[mmap.mmap]:
    """A shared mapping of a disk file with an image, as the rig has it."""
    noise = random.Random(20260)
    data = b"".join((noise.randbytes(64) * 64) for _ in PFNS)
    path = tmp_path / "swap.raw"
    path.write_bytes(bytes(64 * PAGE))
    with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapping:
        jumpback_image.write_image(mapping, PFNS, data, zero_pfns=ZERO, compression="lz4")
        yield mapping


def test_attributes_and_views(disk: mmap.mmap) -> None:
    image = jumpback_image.parse(disk)
    assert image.header["arch"] == "x86_64"
    assert image.header["compression"] == "lz4"
    assert image.header["zero_pages"] == 2
    assert image.pfns.tolist() == sorted(PFNS + ZERO)
    assert image.stored_pfns.tolist() == PFNS
    assert image.zero_pfns.tolist() == ZERO
    assert [p for p, z in zip(image.pfns, image.zero_flags) if z] == ZERO
    assert image.pfns.format == "Q" and image.data.readonly
    with pytest.raises(TypeError):
        image.data[0] = 1
    assert image.page(900) == image.data[3 * PAGE : 4 * PAGE]
    assert image.page(5) == bytes(PAGE)
    assert image.page(6) is None and 6 not in image and 7 in image


def test_views_outlive_the_image(disk: mmap.mmap) -> None:
    view = jumpback_image.parse(disk).data
    copy = jumpback_image.parse(disk).data.tobytes()
    assert view.tobytes() == copy


def test_error_has_place_and_reason(disk: mmap.mmap) -> None:
    disk[0xFF6:0x1000] = b"SWAPSPACE2"
    with pytest.raises(jumpback_image.ImageError) as caught:
        jumpback_image.parse(disk)
    assert "disk offset 0xff6" in caught.value.where
    assert caught.value.what.startswith("no hibernation image: plain swap area")
    assert str(caught.value) == f"{caught.value.where}: {caught.value.what}"
    assert jumpback_image.parse(disk, ignore_signature=True).header["consumed"]


def test_tampering_is_on_the_disk_and_found(disk: mmap.mmap) -> None:
    before = jumpback_image.parse(disk)
    report = jumpback_image.flip_byte(disk, 901, 17, 0x20)
    difference = jumpback_image.diff(before, jumpback_image.parse(disk))
    assert [(d.pfn, d.first_offset, d.count) for d in difference.differing] == [(901, 17, 1)]
    assert difference.differing[0].a ^ difference.differing[0].b == 0x20
    assert report.pages[0].pfn == 901 and report.crc32_after != report.crc32_before

    jumpback_image.swap_pages(disk, 3, 4000)
    page = before.page(3)
    assert page is not None and jumpback_image.parse(disk).page(4000) == page
    jumpback_image.replace_page(disk, 3, page)
    assert jumpback_image.parse(disk).page(3) == page
    assert jumpback_image.verify(disk) == []

    jumpback_image.flip_byte(disk, 7, 0, fix_crc=False)
    assert ["crc32" in problem.where for problem in jumpback_image.verify(disk)] == [True]


def test_location_is_where_the_bytes_are(disk: mmap.mmap) -> None:
    location = jumpback_image.parse(disk).location(7)
    assert location is not None and location.compressed and not location.zero
    offset, length = location.extents[0]
    assert length % PAGE == 0
    disk[offset : offset + 8] = bytes(8)
    with pytest.raises(jumpback_image.ImageError, match="compressed length 0"):
        jumpback_image.parse(disk)


def test_wrong_arguments(disk: mmap.mmap) -> None:
    with pytest.raises(ValueError, match="expected x86_64 or i386"):
        jumpback_image.write_image(disk, [], b"", arch="arm")
    with pytest.raises(jumpback_image.ImageError, match="was all zero"):
        jumpback_image.flip_byte(disk, 5, 0)
    with pytest.raises(BufferError):
        jumpback_image.flip_byte(memoryview(bytes(disk)), 7, 0)
