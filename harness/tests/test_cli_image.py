# SPDX-License-Identifier: GPL-2.0-or-later
"""`jumpback image` on sound, damaged, foreign and random files: a clear word, never a crash."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import jumpback_image
import pytest

from harness.paths import TREE

pytestmark = pytest.mark.timeout(60)

PAGES = 96
SEED = 20071121


def _image(path: Path, compression: str = "lzo", changed: int | None = None) -> Path:
    source = random.Random(SEED)
    data = bytearray()
    for _ in range(PAGES):
        data += bytes(source.choices(b"kernel memory \0\0\0\0", k=4096))
    if changed is not None:
        data[changed] ^= 0xFF
    disk = bytearray(1 << 20)
    jumpback_image.write_image(
        disk, [0x100 + n for n in range(PAGES)], bytes(data), compression=compression
    )
    path.write_bytes(disk)
    return path


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "harness", "image", *map(str, words)],
        cwd=TREE,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("compression", ["lzo", "lz4", "none"])
def test_a_sound_image(tmp_path: Path, compression: str) -> None:
    path = _image(tmp_path / "swap", compression)
    shown, verified = _run("show", path), _run("verify", path)
    assert shown.returncode == 0 and compression in shown.stdout
    assert verified.returncode == 0 and f"{PAGES} pages" in verified.stdout


def test_diff_names_page_and_byte(tmp_path: Path) -> None:
    first = _image(tmp_path / "a")
    second = _image(tmp_path / "b", changed=7 * 4096 + 0x123)
    same, other = _run("diff", first, first), _run("diff", first, second)
    assert same.returncode == 0
    assert other.returncode == 1
    assert "pfn 0x107" in other.stdout and "0x123" in other.stdout


def test_show_a_frame(tmp_path: Path) -> None:
    path = _image(tmp_path / "swap")
    assert "unit" in _run("show", path, "--pfn", "0x105").stdout
    assert "not in the image" in _run("show", path, "--pfn", "1").stdout


def _truncated(data: bytearray) -> bytes:
    return bytes(data[: len(data) // 64])


def _flipped(data: bytearray) -> bytes:
    data[5 * 4096 + 100] ^= 0x40  # inside the first compressed unit
    return bytes(data)


def _plain_swap(data: bytearray) -> bytes:
    data[4086:4096] = b"SWAPSPACE2"
    return bytes(data)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_truncated, ""),
        (_flipped, ""),
        (_plain_swap, "no hibernation image"),
        (lambda _: bytes(8192), "swap"),
        (lambda _: b"", "empty"),
    ],
    ids=["truncated", "bit-flipped", "plain-swap", "zeros", "empty"],
)
@pytest.mark.parametrize("command", ["show", "verify"])
def test_damage_is_told(
    tmp_path: Path, damage: Callable[[bytearray], bytes], words: str, command: str
) -> None:
    path = tmp_path / "swap"
    path.write_bytes(damage(bytearray(_image(tmp_path / "good").read_bytes())))
    ran = _run(command, path)
    assert ran.returncode in (1, 2)
    assert str(path) in ran.stderr and words in ran.stderr
    assert "Traceback" not in ran.stderr


def test_random_damage_never_crashes(tmp_path: Path) -> None:
    """In one process, since starting one takes longer than reading the image."""
    good = _image(tmp_path / "good").read_bytes()
    source = random.Random(SEED)
    print(f"seed {SEED}")
    refused = 0
    for _ in range(300):
        data = bytearray(good)
        for _ in range(source.randint(1, 6)):
            data[
                source.choice((source.randrange(4056, 4096), source.randrange(len(data))))
            ] = source.randrange(256)
        try:
            jumpback_image.parse(data)
        except jumpback_image.ImageError as error:
            assert error.where or error.what
            refused += 1
    assert refused > 100


def test_missing_file_is_a_usage_error(tmp_path: Path) -> None:
    ran = _run("verify", tmp_path / "nowhere")
    assert ran.returncode == 2 and "No such file" in ran.stderr


def test_an_image_of_another_kernel(tmp_path: Path) -> None:
    """Held against a vmlinux: this machine's own Python is none, and is told so."""
    ran = _run("verify", _image(tmp_path / "swap"), "--vmlinux", "/usr/bin/python3")
    assert ran.returncode != 0 and "python3" in ran.stderr
    assert "Traceback" not in ran.stderr
