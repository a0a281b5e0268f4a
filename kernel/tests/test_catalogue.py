# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kernel import catalogue
from kernel.config import read_fragments
from kernel.errors import CatalogueError

Write = Callable[[str, str], Path]

ROW = """
[[kernel]]
version = "9.9"
arch = "x86_64"
package = "linux-source-9.9"
suites = ["trixie"]
fragments = ["base"]
patches = "9.9"
"""


def test_shipped_catalogue_has_the_promised_rows_and_readable_fragments() -> None:
    rows = catalogue.load()
    assert {("6.1", "x86_64"), ("6.1", "i386"), ("6.12", "x86_64")} <= {
        (row.version, row.arch) for row in rows
    }
    for row in rows:
        wishes = read_fragments(row.fragments)
        assert wishes["HIBERNATION"].value == "y"
        assert wishes["64BIT"].value == ("y" if row.arch == "x86_64" else "n")


def test_every_shipped_fragment_is_used_and_every_patch_is_in_a_series() -> None:
    used = {fragment for row in catalogue.load() for fragment in row.fragments}
    assert used == set((catalogue.HERE / "configs").glob("*.config"))
    for folder in (catalogue.HERE / "patches").iterdir():
        listed = {patch.name for patch in catalogue.read_series(folder)}
        assert listed == {path.name for path in folder.iterdir()} - {"series"}


@pytest.fixture
def path(write: Write) -> Path:
    write("configs/base.config", "CONFIG_A=y\n")
    write("patches/9.9/series", "# none\n\nfirst.patch\nsecond.patch  # why\n")
    write("patches/9.9/first.patch", "")
    write("patches/9.9/second.patch", "")
    return write("catalogue.toml", ROW)


def test_row_is_read_with_fragments_and_patches_in_order(path: Path) -> None:
    (row,) = catalogue.load(path)
    assert (row.name, row.package, row.suites) == ("9.9-x86_64", "linux-source-9.9", ("trixie",))
    assert [fragment.name for fragment in row.fragments] == ["base.config"]
    assert [patch.name for patch in row.patches] == ["first.patch", "second.patch"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('version = "9.9"', "", "row 1: version is missing"),
        ('version = "9.9"', 'version = "nine"', "'nine' does not look like a version"),
        ('arch = "x86_64"', 'arch = "arm64"', "'arm64' is none of x86_64, i386"),
        ('suites = ["trixie"]', "suites = []", "suites must be a list"),
        ('suites = ["trixie"]', 'suites = ["a b"]', "'a b' does not look like a name"),
        ('["base"]', '["nope"]', "there is no file .*nope.config"),
        ('patches = "9.9"', 'patches = "1.1"', "1.1/series: No such file"),
        ('patches = "9.9"', 'pathces = "9.9"', "unknown key pathces"),
        ("[[kernel]]", "[[kernel", "catalogue.toml"),
        (ROW, ROW + ROW, "two rows for version 9.9, arch x86_64"),
        (ROW, "", "no \\[\\[kernel\\]\\] row"),
    ],
)
def test_wrong_row_is_refused_and_named(path: Path, old: str, new: str, message: str) -> None:
    assert old in ROW
    path.write_text(ROW.replace(old, new))
    with pytest.raises(CatalogueError, match=message):
        catalogue.load(path)


def test_series_naming_a_missing_patch_is_refused(path: Path) -> None:
    (path.parent / "patches/9.9/second.patch").unlink()
    with pytest.raises(CatalogueError, match="series:4: there is no file second.patch"):
        catalogue.load(path)


def test_find_says_what_there_is(path: Path) -> None:
    rows = catalogue.load(path)
    assert catalogue.find("9.9", "x86_64", rows) is rows[0]
    with pytest.raises(CatalogueError, match=r"no kernel 9.9 for i386.*9.9 \(x86_64\)"):
        catalogue.find("9.9", "i386", rows)
