# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback image``: look into hibernation images on any swap partition or file."""

from __future__ import annotations

import contextlib
import json
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import jumpback_image

from harness.errors import UsageError
from harness.symbols import Symbols
from harness.verdict import Verdict, exit_code, ExitStyle

PAGE = 4096

_FILE = click.argument("file", type=click.Path(path_type=Path))
_OPTIONS = [
    click.option(
        "--offset",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        metavar="PAGES",
        help="Where the swap header is, in 4 KiB pages: resume_offset of a swap file; FILE is "
        "then the whole device.",
    ),
    click.option(
        "--consumed",
        is_flag=True,
        help="Read an image that a resume has used up already, as far as it still stands.",
    ),
]


def _image_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    """Works for files and block devices, whose size stat() does not tell."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    try:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        if size == 0:
            raise UsageError(f"{path}: it is empty; a swap area with an image was expected")
        with mmap.mmap(descriptor, size, prot=mmap.PROT_READ) as mapped:
            yield mapped
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _fail(path: Path, message: str) -> None:
    click.echo(f"{path}: {message}", err=True)
    sys.exit(exit_code(Verdict.FAIL, ExitStyle.PLAIN, target_reached=True))


@click.group("image")
def image_group() -> None:
    """Look into hibernation images (swsusp) of Linux 5.10 to 7.3, x86_64 and i386.

    \b
    jumpback image show /dev/sda2               what the image says of itself
    jumpback image verify swap.raw              read all of it; exit 1 names every bad place
    jumpback image diff before.raw after.raw    pages that differ, or stand in one only
    """


@image_group.command("show")
@_FILE
@_image_options
@click.option("--json", "as_json", is_flag=True)
@click.option("--pfn", type=str, help="Where this page frame's bytes stand on the disk.")
def show_command(file: Path, offset: int, consumed: bool, as_json: bool, pfn: str | None) -> None:
    """Show the header of an image, and how much it holds."""
    with _mapped(file) as mapped:
        try:
            image = jumpback_image.parse(mapped, header_page=offset, ignore_signature=consumed)
        except jumpback_image.ImageError as error:
            _fail(file, str(error))
            return
    header: dict[str, Any] = dict(image.header)
    if pfn is not None:
        _show_frame(image, _number(pfn))
        return
    if as_json:
        plain = {k: v.hex() if isinstance(v, bytes) else v for k, v in header.items()}
        click.echo(json.dumps({"schema": "jumpback.image/1", "header": plain}, indent=2))
        return
    hexadecimal = {"flags", "crc32", "crc32_computed", "jump_address", "jump_address_phys"}
    hexadecimal |= {"cr3", "magic", "e820_checksum", "hardware_signature", "info_disk_offset"}
    for name, value in header.items():
        if isinstance(value, bytes):
            value = value.hex()
        elif name in hexadecimal and value is not None:
            value = f"{value:#x}"
        click.echo(f"  {name:<20} {value}")


def _number(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise UsageError(f"--pfn {text}: a number was expected, like 6621 or 0x19dd") from None


def _show_frame(image: jumpback_image.Image, pfn: int) -> None:
    place = image.location(pfn)
    if place is None:
        click.echo(f"pfn {pfn:#x} is not in the image")
        return
    where = ", ".join(f"{start:#x}+{length:#x}" for start, length in place.extents)
    kind = f"unit {place.unit}, page {place.unit_page} of it" if place.compressed else "a raw page"
    zero = "; it was all zero, only a mark in the page list is stored" if place.zero else ""
    click.echo(f"pfn {pfn:#x}: {kind}; disk bytes {where}{zero}")


@image_group.command("verify")
@_FILE
@_image_options
@click.option(
    "--vmlinux",
    type=click.Path(path_type=Path),
    help="The kernel that the image must belong to: its restore_registers is where it jumps.",
)
def verify_command(file: Path, offset: int, consumed: bool, vmlinux: Path | None) -> None:
    """Read all of an image: header, swap map, page list, every unit, CRC. Exit 0 if sound."""
    with _mapped(file) as mapped:
        try:
            problems = jumpback_image.verify(mapped, header_page=offset, ignore_signature=consumed)
        except jumpback_image.ImageError as error:
            _fail(file, str(error))
            return
        if problems:
            for problem in problems:
                click.echo(f"{file}: {problem.where}: {problem.what}", err=True)
            sys.exit(1)
        image = jumpback_image.parse(mapped, header_page=offset, ignore_signature=consumed)
    header = image.header
    if vmlinux is not None:
        wanted = Symbols(vmlinux).restored_entry()
        if header["jump_address"] != wanted:
            _fail(
                file,
                f"the image belongs to another kernel: it jumps to {header['jump_address']:#x}, "
                f"{vmlinux} has restore_registers at {wanted:#x}",
            )
    click.echo(
        f"{file}: sound; {header['arch']}, {len(image.pfns)} pages, {header['compression']}, "
        f"CRC {'checked' if header['has_crc32'] else 'not used'}"
    )


@image_group.command("diff")
@click.argument("first", type=click.Path(path_type=Path))
@click.argument("second", type=click.Path(path_type=Path))
@_image_options
@click.option("--most", "-n", type=click.IntRange(min=1), default=20, show_default=True)
def diff_command(first: Path, second: Path, offset: int, consumed: bool, most: int) -> None:
    """Compare two images page by page. Exit 0 if they hold the same, 1 if not."""
    images = []
    for path in (first, second):
        with _mapped(path) as mapped:
            try:
                images.append(
                    jumpback_image.parse(mapped, header_page=offset, ignore_signature=consumed)
                )
            except jumpback_image.ImageError as error:
                _fail(path, str(error))
    found = jumpback_image.diff(images[0], images[1])
    for path, pfns in ((first, found.only_a), (second, found.only_b)):
        if pfns:
            shown = ", ".join(f"{pfn:#x}" for pfn in pfns[:most])
            click.echo(f"only in {path}: {len(pfns)} pages: {shown}{' …' * (len(pfns) > most)}")
    for page in found.differing[:most]:
        click.echo(
            f"pfn {page.pfn:#x} differs: {page.count} bytes, the first at "
            f"{page.first_offset:#x}: {page.a:02x} and {page.b:02x}"
        )
    if len(found.differing) > most:
        click.echo(f"… and {len(found.differing) - most} more pages differ")
    click.echo(f"{found.equal} pages are the same in both")
    sys.exit(0 if found.same else 1)
