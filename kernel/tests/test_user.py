# SPDX-License-Identifier: GPL-2.0-or-later
"""The user's own kernel, with ELF and bzImage files made here."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import pytest

from kernel.config import parse
from kernel.errors import UserKernelError
from kernel.kernel_files import belong_together
from kernel.user import FORBIDDEN, NEEDED, Need, check_options, load_user_kernel

BANNER = (
    "Linux version 9.9.1-mine (me@host) (gcc (Debian 12.2.0) 12.2.0, GNU ld 2.40) "
    "#3 SMP Mon Jan  1 00:00:00 UTC 2024\n"
)
VERSION = "9.9.1-mine (me@host) #3 SMP Mon Jan  1 00:00:00 UTC 2024"
BASE = 0xC1000000  # where the one segment stands in memory


def elf(
    wide: bool, *, banner: str = BANNER, extra: bytes = b"", name: str = "linux_banner"
) -> bytes:
    """An ELF file with one segment, and a symbol table with ``name`` at the banner."""
    head, program, symbol = (64, 56, 24) if wide else (52, 32, 16)
    data_at = head + program
    data = b"\x90" * 16 + banner.encode() + b"\0" + extra
    # The linker stores a name that ends another one inside it: "linux_banner" in "my_linux_banner".
    names = b"\0my_" + name.encode() + b"\0"
    sym_at = data_at + len(data)
    if wide:
        entry = struct.pack("<IBBHQQ", 4, 0x11, 0, 1, BASE + 16, len(banner))
    else:
        entry = struct.pack("<IIIBBH", 4, BASE + 16, len(banner), 0x11, 0, 1)
    symbols = b"\0" * symbol + entry
    str_at = sym_at + len(symbols)
    sections_at = str_at + len(names)
    section = "<IIQQQQIIQQ" if wide else "<IIIIIIIIII"
    sections = struct.pack(section, *[0] * 10)
    sections += struct.pack(section, 0, 2, 0, 0, sym_at, len(symbols), 2, 1, 8, symbol)
    sections += struct.pack(section, 0, 3, 0, 0, str_at, len(names), 0, 0, 1, 0)
    ident = b"\x7fELF" + bytes([2 if wide else 1, 1, 1]) + b"\0" * 9
    kind = (2, 62 if wide else 3, 1)
    tail = (0, head, program, 1, 64 if wide else 40, 3, 0)
    if wide:
        start = ident + struct.pack("<HHIQQQIHHHHHH", *kind, BASE, head, sections_at, *tail)
        start += struct.pack("<IIQQQQQQ", 1, 5, data_at, BASE, BASE, len(data), len(data), 4096)
    else:
        start = ident + struct.pack("<HHIIIIIHHHHHH", *kind, BASE, head, sections_at, *tail)
        start += struct.pack("<IIIIIIII", 1, data_at, BASE, BASE, len(data), len(data), 5, 4096)
    return start + data + symbols + names + sections


def bzimage(version: str = VERSION) -> bytes:
    head = bytearray(0x1000)
    head[0x202:0x206] = b"HdrS"
    head[0x20E:0x210] = (0x600 - 0x200).to_bytes(2, "little")
    head[0x600 : 0x600 + len(version) + 1] = version.encode() + b"\0"
    return bytes(head)


def good_config() -> str:
    return "CONFIG_SMP=y\nCONFIG_KALLSYMS=y\n" + "".join(
        f"CONFIG_{need.option}={need.at_least or 'y'}\n" for need in NEEDED
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "mine"
    path.mkdir()
    (path / "vmlinux").write_bytes(elf(True))
    (path / "bzImage").write_bytes(bzimage())
    (path / "config-9.9.1").write_text(good_config())
    return path


def test_folder_with_two_files(folder: Path) -> None:
    kernel = load_user_kernel(folder)
    assert (kernel.version, kernel.arch, kernel.release) == ("9.9", "x86_64", "9.9.1-mine")
    assert (kernel.name, kernel.bzimage, kernel.vmlinux, kernel.config, kernel.warnings) == (
        str(folder),
        folder / "bzImage",
        folder / "vmlinux",
        folder / "config-9.9.1",
        (),
    )


def test_build_tree(folder: Path) -> None:
    (folder / "arch/x86/boot").mkdir(parents=True)
    (folder / "bzImage").rename(folder / "arch/x86/boot/bzImage")
    (folder / "config-9.9.1").rename(folder / ".config")
    kernel = load_user_kernel(folder)
    assert kernel.bzimage == folder / "arch/x86/boot/bzImage"
    assert kernel.config == folder / ".config"


def test_i386(folder: Path) -> None:
    (folder / "vmlinux").write_bytes(elf(False))
    assert load_user_kernel(folder).arch == "i386"


@pytest.mark.parametrize("wide", [True, False])
def test_config_inside_vmlinux_is_read(folder: Path, wide: bool) -> None:
    (folder / "config-9.9.1").unlink()
    text = good_config().replace("CONFIG_VIRTIO_BLK=y", "CONFIG_VIRTIO_BLK=m")
    extra = b"IKCFG_ST" + gzip.compress(text.encode()) + b"IKCFG_ED"
    (folder / "vmlinux").write_bytes(elf(wide, extra=extra))
    with pytest.raises(UserKernelError, match="set CONFIG_VIRTIO_BLK=y .=m is not enough"):
        load_user_kernel(folder)


def test_without_any_config_there_is_a_warning(folder: Path) -> None:
    (folder / "config-9.9.1").unlink()
    (warning,) = load_user_kernel(folder).warnings
    assert "was not checked" in warning


def test_all_missing_options_are_named_at_once_with_what_to_set(folder: Path) -> None:
    text = good_config().replace("CONFIG_VIRTIO_BLK=y\n", "").replace("CONFIG_SWAP=y", "")
    (folder / "config-9.9.1").write_text(text)
    with pytest.raises(UserKernelError) as caught:
        load_user_kernel(folder)
    assert caught.value.problems == [
        "set CONFIG_SWAP=y: the image is written to swap",
        "set CONFIG_VIRTIO_BLK=y: the swap disk is a virtio disk",
    ]
    assert all(problem in str(caught.value) for problem in caught.value.problems)


@pytest.mark.parametrize("need", NEEDED, ids=[need.option for need in NEEDED])
def test_each_need_is_noticed(need: Need) -> None:
    options = parse(good_config())
    assert check_options(options) == []
    del options[need.option]
    (problem,) = check_options(options)
    assert problem.startswith(f"set CONFIG_{need.option}") and need.reason in problem
    for name in need.either:
        assert check_options({**options, name: "y"}) == []


def test_need_of_32_bit_kernels_is_not_asked_of_64_bit_ones() -> None:
    options = parse(good_config())
    del options["COMPAT_32BIT_TIME"]
    assert len(check_options(options)) == 1
    assert check_options({**options, "64BIT": "y"}) == []


@pytest.mark.parametrize("option", FORBIDDEN)
def test_each_forbidden_option_is_noticed(option: str) -> None:
    (problem,) = check_options({**parse(good_config()), option: "y"})
    assert problem.startswith(f"unset CONFIG_{option}")


def test_one_serial_port_is_too_few() -> None:
    options = {**parse(good_config()), "SERIAL_8250_RUNTIME_UARTS": "1"}
    (problem,) = check_options(options)
    assert "=2 or more (it is 1)" in problem


def test_what_is_only_wanted_warns(folder: Path) -> None:
    (folder / "config-9.9.1").write_text(good_config().replace("CONFIG_SMP=y", ""))
    (warning,) = load_user_kernel(folder).warnings
    assert "CONFIG_SMP is not set: only --cpus 1" in warning


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("vmlinux", b"\x7fELF", "not a little-endian ELF file"),
        ("vmlinux", b"", "cannot be read"),
        ("vmlinux", b"MZ" * 100, "not a little-endian ELF file"),
        ("vmlinux", elf(True)[:200], "damaged ELF file"),
        ("vmlinux", elf(True, name="else"), "no symbol linux_banner; a vmlinux with its symbol"),
        ("vmlinux", elf(True).replace(b"\x3e\0", b"\xb7\0", 1), "ELF machine 183, class 2"),
        ("bzImage", b"MZ" * 1000, "not a bzImage"),
        ("bzImage", bzimage(""), "says no version"),
    ],
)
def test_file_that_is_something_else(folder: Path, name: str, content: bytes, message: str) -> None:
    (folder / name).write_bytes(content)
    with pytest.raises(UserKernelError, match=f"{name}: .*{message}"):
        load_user_kernel(folder)


@pytest.mark.parametrize(
    "version", [VERSION.replace("#3", "#4"), VERSION.replace("9.9.1", "9.9.2")]
)
def test_files_of_two_builds_are_told_apart(folder: Path, version: str) -> None:
    assert belong_together(BANNER.strip(), VERSION)
    (folder / "bzImage").write_bytes(bzimage(version))
    with pytest.raises(UserKernelError, match="are not from one build") as caught:
        load_user_kernel(folder)
    assert version in str(caught.value) and BANNER.strip() in str(caught.value)


def test_paths_that_are_no_kernel(folder: Path) -> None:
    with pytest.raises(UserKernelError, match="a folder is wanted"):
        load_user_kernel(folder / "bzImage")
    with pytest.raises(UserKernelError, match="there is no such folder"):
        load_user_kernel(folder / "nowhere")
    (folder / "bzImage").unlink()
    (folder / "vmlinux").unlink()
    with pytest.raises(UserKernelError) as caught:
        load_user_kernel(folder)
    assert len(caught.value.problems) == 2
