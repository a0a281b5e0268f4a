# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
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
    titles = {(row.title, row.arch) for row in rows}
    for title in ("6.1", "6.1-stock"):
        assert {(title, "x86_64"), (title, "i386")} <= titles
    assert {"5.10", "6.12", "7.2", "7.3"} <= {row.version for row in rows}
    for row in rows:
        wishes = read_fragments(row.fragments)
        assert all(wishes[name].value == "y" for name in ("HIBERNATION", "KEXEC", "KEXEC_JUMP"))
        assert wishes["64BIT"].value == ("y" if row.arch == "x86_64" else "n")


def test_every_shipped_fragment_and_patch_is_used() -> None:
    rows = catalogue.load()
    used = {fragment for row in rows for fragment in row.fragments}
    assert used == set((catalogue.HERE / "configs").glob("*.config"))
    patches = {row.variant.patch for row in catalogue.load_variants(rows) if row.variant}
    for row in rows:
        patches.update(row.patches)
    assert patches == set((catalogue.HERE / "patches").glob("**/*.patch"))


def test_every_patch_of_a_series_says_what_it_mends_and_is_small() -> None:
    findings = catalogue.HERE.parent / "docs/findings"
    for row in catalogue.load():
        for patch in row.patches:
            message, found, change = patch.read_text().partition("\n--- a/")
            assert found, f"{patch} is no unified diff"
            assert message.startswith("SPDX-License-Identifier: GPL-2.0-only\n"), patch
            for word in ("\nSymptom: ", "\nCause: ", "\nSeen: ", "\nFixes-finding: "):
                assert message.count(word) == 1, f"{patch} has no line {word!r}"
            assert len(re.findall(r"^[-+]", change, re.MULTILINE)) < 40, f"{patch} is not small"
        assert all((findings / f"{name}.md").is_file() for name in row.fixed), row.fixed
        assert bool(row.fixed) == bool(row.patches)


def test_a_fix_names_the_finding_that_it_mends() -> None:
    rows = catalogue.load()
    plain = {row.name: row for row in rows}
    fixes = [
        row for row in catalogue.load_variants(rows) if row.variant and row.variant.kind == "fix"
    ]
    assert fixes
    for row in fixes:
        (finding,) = row.fixed - plain[replace(row, variant=None).name].fixed
        assert (catalogue.HERE.parent / f"docs/findings/{finding}.md").is_file()


def test_every_shipped_row_with_patches_is_there_without_them() -> None:
    rows = {row.name: row for row in catalogue.load()}
    patched = [row for row in rows.values() if row.patches and not row.flavour]
    assert len(patched) >= 2
    for row in patched:
        stock = rows[f"{row.version}-stock-{row.arch}"]
        assert stock == replace(row, flavour="stock", patches=())
        assert stock.fixed == frozenset()


def test_every_shipped_variant_says_what_it_does_and_changes_little() -> None:
    variants = [row.variant for row in catalogue.load_variants() if row.variant]
    assert {"gdt-not-restored", "deadlock"} <= {variant.id for variant in variants}
    for variant in variants:
        message, found, change = variant.patch.read_text().partition("\n--- a/")
        assert found, f"{variant.patch} is no unified diff"
        assert message.startswith("SPDX-License-Identifier: GPL-2.0-only\n"), variant.patch
        assert "Symptom" in message, variant.patch
        numbers = re.findall(r"\b[BR]\d+\b", variant.source)
        commits = re.findall(r"\b[0-9a-f]{12}\b", variant.source)
        for word in numbers + commits:
            assert re.search(rf"\b{word}\b", message), f"{variant.patch} does not name {word}"
        assert len(re.findall(r"^[-+]", change, re.MULTILINE)) < 30, f"{variant.patch} is not small"


@pytest.fixture
def path(write: Write) -> Path:
    write("configs/base.config", "CONFIG_A=y\n")
    write("patches/9.9/series", "# none\n\nfirst.patch\nsecond.patch  # why\n")
    write("patches/9.9/first.patch", "Fixes-finding: one\nFixes-finding: two (i386)\n")
    write("patches/9.9/second.patch", "It says Fixes-finding: none\nFixes-finding: two (x86_64)\n")
    return write("catalogue.toml", ROW)


def test_row_is_read_with_fragments_and_patches_in_order(path: Path) -> None:
    row, stock = catalogue.load(path)
    assert (row.name, row.package, row.suites) == ("9.9-x86_64", "linux-source-9.9", ("trixie",))
    assert [fragment.name for fragment in row.fragments] == ["base.config"]
    assert [patch.name for patch in row.patches] == ["first.patch", "second.patch"]
    assert (stock.name, stock.title, stock.patches) == ("9.9-stock-x86_64", "9.9-stock", ())
    assert replace(stock, flavour="", patches=row.patches) == row
    assert row.fixed == {"one", "two"} and not stock.fixed
    assert replace(row, arch="i386").fixed == {"one", "two"}


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
    assert catalogue.find("9.9-stock", "x86_64", rows) is rows[1]
    with pytest.raises(CatalogueError, match=r"no kernel 9.9 for i386.*9.9 \(x86_64\)"):
        catalogue.find("9.9", "i386", rows)


FLAVOUR = """
[[flavour]]
id = "spicy"
kernels = ["9.9-x86_64", "9.9-stock-x86_64"]
fragments = ["hot"]
purpose = "tells whether it burns"
"""


def test_flavour_is_its_kernel_with_more_fragments(path: Path, write: Write) -> None:
    hot = write("configs/hot.config", "CONFIG_HOT=y\n")
    path.write_text(ROW + FLAVOUR.replace(', "9.9-stock-x86_64"', ""))
    row, _, spicy = catalogue.load(path)
    assert (spicy.name, spicy.title) == ("9.9-spicy-x86_64", "9.9-spicy")
    assert spicy == replace(row, flavour="spicy", fragments=(*row.fragments, hot))
    assert spicy.fixed == row.fixed


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "spicy"', "", "flavour 1: id is missing"),
        ('id = "spicy"', 'id = "stock"', "two rows for version 9.9-stock, arch x86_64"),
        ('["hot"]', '["mild"]', "flavour 1: fragment mild: there is no file .*mild.config"),
        ('"9.9-x86_64"', '"9.9-i386"', "there is no 9.9-i386; there are 9.9-x86_64, 9.9-stock-"),
        ('purpose = "tells', 'reason = "tells', "flavour 1: purpose is missing"),
        ("[[flavour]]", "[flavour]", r"flavours are \[\[flavour\]\] tables"),
        (', "9.9-stock-x86_64"', ', "9.9-x86_64"', "two rows for version 9.9-spicy, arch x86_64"),
    ],
)
def test_wrong_flavour_is_refused_and_named(
    path: Path, write: Write, old: str, new: str, message: str
) -> None:
    write("configs/hot.config", "CONFIG_HOT=y\n")
    assert old in FLAVOUR
    path.write_text(ROW + FLAVOUR.replace(old, new))
    with pytest.raises(CatalogueError, match=message):
        catalogue.load(path)


VARIANT = """
[[variant]]
id = "half-swapped"
kind = "regression"
kernels = ["9.9-x86_64"]
symptom = "half of the pages are swapped"
source = "none"
scenario = "jump-call"
stage = "P1"
"""


@pytest.fixture
def with_variant(path: Path, write: Write) -> Path:
    write("patches/9.9/regressions/half-swapped.patch", "")
    path.write_text(ROW + VARIANT)
    return path


def test_variant_is_its_kernel_with_one_patch_more(with_variant: Path) -> None:
    rows = catalogue.load(with_variant)
    (row,) = catalogue.load_variants(rows, with_variant)
    assert (row.title, row.name) == ("9.9+half-swapped", "9.9+half-swapped-x86_64")
    assert row.variant and row.variant.patch.is_file()
    assert replace(row, variant=None) == rows[0]
    everything = [*rows, row]
    assert catalogue.find("9.9", "x86_64", everything) is rows[0]
    assert catalogue.find("9.9+half-swapped", "x86_64", everything) is row


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('id = "half-swapped"', "", "variant 1: id is missing"),
        ('id = "half-swapped"', 'id = "../x"', "'../x' does not look like a id"),
        ('"half-swapped"', '"other"', "there is no file .*regressions/other.patch"),
        ('"regression"', '"fix"', "there is no file .*fixes/half-swapped.patch"),
        ('"regression"', '"joke"', "kind 'joke' is none of regression, fix"),
        ("9.9-x86_64", "9.9-i386", "there is no 9.9-i386; there are 9.9-x86_64"),
        ('source = "none"', 'sauce = "none"', "source is missing"),
        ('source = "none"', 'source = "none"\nmore = 1', "unknown key more"),
        ('symptom = "half', 'symptom = "\\nhalf', "does not look like a symptom"),
        ('scenario = "jump-call"', "", "scenario is missing"),
        ('stage = "P1"', 'stage = ""', "does not look like a stage"),
        ('stage = "P1"', 'stage = "P1"\noptions = ["a b"]', "options: 'a b' does not look like"),
        (VARIANT, VARIANT + VARIANT, "two variants 9.9\\+half-swapped-x86_64"),
        ("[[variant]]", "[variant]", r"variants are \[\[variant\]\] tables"),
    ],
)
def test_wrong_variant_is_refused_and_named(
    with_variant: Path, old: str, new: str, message: str
) -> None:
    assert old in VARIANT
    with_variant.write_text(ROW + VARIANT.replace(old, new))
    with pytest.raises(CatalogueError, match=message):
        catalogue.load_variants(path=with_variant)


def test_find_says_which_variants_there_are(with_variant: Path) -> None:
    rows = catalogue.load(with_variant)
    rows += catalogue.load_variants(rows, with_variant)
    with pytest.raises(CatalogueError, match=r"no variant 9.9\+x for x86_64.*: half-swapped$"):
        catalogue.find("9.9+x", "x86_64", rows)
    with pytest.raises(CatalogueError, match=r"9.9\+half-swapped for i386.*: none$"):
        catalogue.find("9.9+half-swapped", "i386", rows)
    with pytest.raises(CatalogueError, match=r"there are 9.9 \(x86_64\), 9.9-stock \(x86_64\)\."):
        catalogue.find("1.0", "x86_64", rows)
