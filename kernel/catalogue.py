# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue of kernels under test: catalogue.toml, read and checked."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

from kernel.errors import CatalogueError
from kernel.under_test import full_name

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE / "catalogue.toml"
ARCHITECTURES = ("x86_64", "i386")

_VERSION = re.compile(r"\d+\.\d+")
_NAME = re.compile(r"[a-z0-9][a-z0-9.+_-]*")
_VARIANT = re.compile(r"[a-z0-9][a-z0-9-]*")
_OPTION = re.compile(r"[a-zA-Z0-9-]+")
_LINE = re.compile(r"\S.*")
_REQUIRED = ("version", "arch", "package", "suites", "fragments")
_OPTIONAL = ("patches",)
_FLAVOUR_KEYS = ("id", "kernels", "fragments", "purpose")
_VARIANT_KEYS = ("id", "kind", "kernels", "symptom", "source", "scenario", "stage")
# The flavour that every row with patches has: itself without them.
STOCK = "stock"
# A line of a patch's message: which page of docs/findings tells of the defect that it mends, and
# on which architecture, if not on all.
_FIXES = re.compile(r"^Fixes-finding: ([a-z0-9-]+)(?: \((x86_64|i386)\))?$", re.MULTILINE)
# kind of a variant → folder below patches/VERSION
_VARIANT_FOLDERS = {"regression": "regressions", "fix": "fixes"}


@dataclass(frozen=True)
class Variant:
    """One change to a kernel of the catalogue: a regression put back, or a fix that it lacks."""

    id: str  # "gdt-not-restored"
    kind: str  # "regression" or "fix"
    symptom: str  # one line: what is seen
    source: str  # the bug it stands for: a mainline commit, or words
    scenario: str  # that must catch it: "jump-kernel"
    stage: str  # stands in the name of the stage that it must blame: "return"
    patch: Path
    options: tuple[str, ...] = ()  # of the scenario: ("--cpus", "2")


@dataclass(frozen=True)
class Row:
    """One kernel under test: where its source is, and how it is configured and patched."""

    version: str  # "6.1"
    arch: str  # "x86_64" or "i386", as make's ARCH=
    package: str  # "linux-source-6.1"
    suites: tuple[str, ...]  # ("bookworm", "bookworm-security")
    fragments: tuple[Path, ...]  # existing files, in order
    patches: tuple[Path, ...]  # existing files, in order of application
    variant: Variant | None = None  # applied after ``patches``
    flavour: str = ""  # "stock": without ``patches``; else more fragments: "lockdep"

    @property
    def title(self) -> str:
        """What people type: "6.1", "6.1-stock", "7.2+gdt-not-restored"."""
        return full_name(self.version, self.flavour, self.variant.id if self.variant else "")

    @property
    def all_patches(self) -> tuple[Path, ...]:
        return (*self.patches, self.variant.patch) if self.variant else self.patches

    @property
    def fixed(self) -> frozenset[str]:
        """The pages of docs/findings, without ".md", whose defect the patches mend on ``arch``."""
        return frozenset(
            finding
            for patch in self.all_patches
            for finding, arch in _FIXES.findall(patch.read_text())
            if arch in ("", self.arch)
        )

    @property
    def name(self) -> str:
        return f"{self.title}-{self.arch}"


def load(path: Path = CATALOGUE) -> list[Row]:
    """All rows of ``path`` without variants: the kernels, then their stock ones, then flavours.

    Fragments and patches are looked up beside it. Raises CatalogueError that names file and row.
    """
    tables = _document(path).get("kernel", [])
    if not isinstance(tables, list) or not tables:
        raise CatalogueError(f"{path}: no [[kernel]] row")
    rows = [_row(path, number, table) for number, table in enumerate(tables, 1)]
    rows += [replace(row, patches=(), flavour=STOCK) for row in rows if row.patches]
    rows += _flavours(path, rows)
    seen: set[str] = set()
    for row in rows:
        if row.name in seen:
            raise CatalogueError(f"{path}: two rows for version {row.title}, arch {row.arch}")
        seen.add(row.name)
    return rows


def load_variants(rows: list[Row] | None = None, path: Path = CATALOGUE) -> list[Row]:
    """Every [[variant]] of ``path`` on every kernel that it names, as rows of their own.

    ``rows``: the kernels that there are. A variant of a kernel that is not among them is an error.
    Raises CatalogueError that names the file and the variant.
    """
    rows = load(path) if rows is None else rows
    tables = _document(path).get("variant", [])
    if not isinstance(tables, list):
        raise CatalogueError(f"{path}: variants are [[variant]] tables")
    found: list[Row] = []
    for number, table in enumerate(tables, 1):
        found += _variant_rows(path, f"{path}: variant {number}", table, rows)
    names = [row.name for row in found]
    if doubles := sorted({name for name in names if names.count(name) > 1}):
        raise CatalogueError(f"{path}: two variants {doubles[0]}")
    return found


def find(title: str, arch: str, rows: list[Row] | None = None) -> Row:
    """The row for ``title`` ("6.1", "7.2+gdt-not-restored") and ``arch``.

    ``rows`` may hold variants too. CatalogueError tells what there is instead.
    """
    base, plus, _ = title.partition("+")
    if rows is None:
        rows = load()
        if plus:
            rows = [*rows, *load_variants(rows)]
    for row in rows:
        if (row.title, row.arch) == (title, arch):
            return row
    if plus:
        ids = [r.variant.id for r in rows if r.variant and (_base(r), r.arch) == (base, arch)]
        there_are = f"of {base} for {arch} there are: {', '.join(ids) or 'none'}"
        raise CatalogueError(f"no variant {title} for {arch} in the catalogue; {there_are}")
    known = ", ".join(f"{row.title} ({row.arch})" for row in rows if not row.variant)
    raise CatalogueError(
        f"no kernel {title} for {arch} in the catalogue; there are {known}. "
        "A path to a kernel build tree works too."
    )


def _base(row: Row) -> str:
    return full_name(row.version, row.flavour, "")


def read_series(folder: Path) -> tuple[Path, ...]:
    """The patch files that ``folder``/series names, in order; '#' starts a comment, as in quilt."""
    series = folder / "series"
    try:
        text = series.read_text()
    except OSError as error:
        raise CatalogueError(
            f"{series}: {error.strerror}; a patch series needs this file"
        ) from error
    patches = []
    for number, line in enumerate(text.splitlines(), 1):
        name = line.partition("#")[0].strip()
        if not name:
            continue
        patch = folder / name
        if not patch.is_file():
            raise CatalogueError(f"{series}:{number}: there is no file {name} beside it")
        patches.append(patch)
    return tuple(patches)


def _document(path: Path) -> dict[str, object]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: {error}") from error


def _flavours(path: Path, rows: list[Row]) -> list[Row]:
    """Every [[flavour]] on every kernel that it names: the same kernel with more fragments."""
    tables = _document(path).get("flavour", [])
    if not isinstance(tables, list):
        raise CatalogueError(f"{path}: flavours are [[flavour]] tables")
    found = []
    for number, table in enumerate(tables, 1):
        where = f"{path}: flavour {number}"
        _check_keys(where, table, _FLAVOUR_KEYS, _FLAVOUR_KEYS)
        identity = _text(where, table, "id", _VARIANT)
        _text(where, table, "purpose", _LINE)
        more = _fragments(path, where, table)
        for base in _bases(where, table, rows):
            found.append(replace(base, flavour=identity, fragments=base.fragments + more))
    return found


def _bases(where: str, table: dict[str, object], rows: list[Row]) -> list[Row]:
    """The rows that ``kernels`` names."""
    by_name = {row.name: row for row in rows}
    for name in _names(where, table, "kernels"):
        if name not in by_name:
            raise CatalogueError(
                f"{where}: kernels: there is no {name}; there are {', '.join(by_name)}"
            )
    return [by_name[name] for name in _names(where, table, "kernels")]


def _variant_rows(path: Path, where: str, table: dict[str, object], rows: list[Row]) -> list[Row]:
    _check_keys(where, table, _VARIANT_KEYS, (*_VARIANT_KEYS, "options"))
    options = tuple(_names(where, table, "options", _OPTION)) if "options" in table else ()
    identity = _text(where, table, "id", _VARIANT)
    kind = _text(where, table, "kind", _VARIANT)
    if kind not in _VARIANT_FOLDERS:
        raise CatalogueError(f"{where}: kind {kind!r} is none of {', '.join(_VARIANT_FOLDERS)}")
    found = []
    for base in _bases(where, table, rows):
        folder = path.parent / "patches" / base.version / _VARIANT_FOLDERS[kind]
        patch = folder / f"{identity}.patch"
        if not patch.is_file():
            raise CatalogueError(f"{where}: there is no file {patch}")
        variant = Variant(
            id=identity,
            kind=kind,
            symptom=_text(where, table, "symptom", _LINE),
            source=_text(where, table, "source", _LINE),
            scenario=_text(where, table, "scenario", _NAME),
            stage=_text(where, table, "stage", _LINE),
            patch=patch,
            options=options,
        )
        found.append(replace(base, variant=variant))
    return found


def _row(path: Path, number: int, table: dict[str, object]) -> Row:
    where = f"{path}: row {number}"
    _check_keys(where, table, _REQUIRED, _REQUIRED + _OPTIONAL)
    version = _text(where, table, "version", _VERSION)
    arch = _text(where, table, "arch", _NAME)
    if arch not in ARCHITECTURES:
        raise CatalogueError(f"{where}: arch {arch!r} is none of {', '.join(ARCHITECTURES)}")
    patches: tuple[Path, ...] = ()
    if "patches" in table:
        patches = read_series(path.parent / "patches" / _text(where, table, "patches", _NAME))
    return Row(
        version=version,
        arch=arch,
        package=_text(where, table, "package", _NAME),
        suites=tuple(_names(where, table, "suites")),
        fragments=_fragments(path, where, table),
        patches=patches,
    )


def _fragments(path: Path, where: str, table: dict[str, object]) -> tuple[Path, ...]:
    fragments = []
    for name in _names(where, table, "fragments"):
        fragment = path.parent / "configs" / f"{name}.config"
        if not fragment.is_file():
            raise CatalogueError(f"{where}: fragment {name}: there is no file {fragment}")
        fragments.append(fragment)
    return tuple(fragments)


def _check_keys(
    where: str, table: dict[str, object], required: tuple[str, ...], known: tuple[str, ...]
) -> None:
    for key in required:
        if key not in table:
            raise CatalogueError(f"{where}: {key} is missing")
    for key in table:
        if key not in known:
            raise CatalogueError(f"{where}: unknown key {key}; known are {known}")


def _text(where: str, table: dict[str, object], key: str, pattern: re.Pattern[str]) -> str:
    value = table[key]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise CatalogueError(f"{where}: {key} = {value!r} does not look like a {key}")
    return value


def _names(
    where: str, table: dict[str, object], key: str, pattern: re.Pattern[str] = _NAME
) -> list[str]:
    value = table[key]
    if not isinstance(value, list) or not value:
        raise CatalogueError(f"{where}: {key} must be a list of names, not {value!r}")
    for item in value:
        if not isinstance(item, str) or not pattern.fullmatch(item):
            raise CatalogueError(f"{where}: {key}: {item!r} does not look like a name")
    return value
