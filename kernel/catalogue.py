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
_LINE = re.compile(r"\S.*")
_REQUIRED = ("version", "arch", "package", "suites", "fragments")
_OPTIONAL = ("patches",)
_VARIANT_KEYS = ("id", "kind", "kernels", "symptom", "source")
# kind of a variant → folder below patches/VERSION
_VARIANT_FOLDERS = {"regression": "regressions", "fix": "fixes"}


@dataclass(frozen=True)
class Variant:
    """One change to a kernel of the catalogue: a regression put back, or a fix that it lacks."""

    id: str  # "gdt-not-restored"
    kind: str  # "regression" or "fix"
    symptom: str  # one line: what is seen
    source: str  # the bug it stands for: a mainline commit, or words
    patch: Path


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

    @property
    def title(self) -> str:
        """What people type: "6.1", "7.2+gdt-not-restored"."""
        return full_name(self.version, self.variant.id if self.variant else "")

    @property
    def name(self) -> str:
        return f"{self.title}-{self.arch}"


def load(path: Path = CATALOGUE) -> list[Row]:
    """All rows of ``path``, without variants; fragments and patches are looked up beside it.

    Raises CatalogueError that names the file and the row.
    """
    tables = _document(path).get("kernel", [])
    if not isinstance(tables, list) or not tables:
        raise CatalogueError(f"{path}: no [[kernel]] row")
    rows = [_row(path, number, table) for number, table in enumerate(tables, 1)]
    seen: set[str] = set()
    for row in rows:
        if row.name in seen:
            raise CatalogueError(f"{path}: two rows for version {row.version}, arch {row.arch}")
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
    version, plus, _ = title.partition("+")
    if rows is None:
        rows = load()
        if plus:
            rows = [*rows, *load_variants(rows)]
    for row in rows:
        if (row.title, row.arch) == (title, arch):
            return row
    if plus:
        ids = [r.variant.id for r in rows if r.variant and (r.version, r.arch) == (version, arch)]
        there_are = f"of {version} for {arch} there are: {', '.join(ids) or 'none'}"
        raise CatalogueError(f"no variant {title} for {arch} in the catalogue; {there_are}")
    known = ", ".join(f"{row.version} ({row.arch})" for row in rows if not row.variant)
    raise CatalogueError(
        f"no kernel {version} for {arch} in the catalogue; there are {known}. "
        "A path to a kernel build tree works too."
    )


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


def _variant_rows(path: Path, where: str, table: dict[str, object], rows: list[Row]) -> list[Row]:
    for key in _VARIANT_KEYS:
        if key not in table:
            raise CatalogueError(f"{where}: {key} is missing")
    for key in table:
        if key not in _VARIANT_KEYS:
            raise CatalogueError(f"{where}: unknown key {key}; known are {_VARIANT_KEYS}")
    identity = _text(where, table, "id", _VARIANT)
    kind = _text(where, table, "kind", _VARIANT)
    if kind not in _VARIANT_FOLDERS:
        raise CatalogueError(f"{where}: kind {kind!r} is none of {', '.join(_VARIANT_FOLDERS)}")
    found = []
    for name in _names(where, table, "kernels"):
        base = next((row for row in rows if row.name == name), None)
        if base is None:
            known = ", ".join(row.name for row in rows)
            raise CatalogueError(f"{where}: kernels: there is no {name}; there are {known}")
        folder = path.parent / "patches" / base.version / _VARIANT_FOLDERS[kind]
        patch = folder / f"{identity}.patch"
        if not patch.is_file():
            raise CatalogueError(f"{where}: there is no file {patch}")
        variant = Variant(
            id=identity,
            kind=kind,
            symptom=_text(where, table, "symptom", _LINE),
            source=_text(where, table, "source", _LINE),
            patch=patch,
        )
        found.append(replace(base, variant=variant))
    return found


def _row(path: Path, number: int, table: dict[str, object]) -> Row:
    where = f"{path}: row {number}"
    for key in _REQUIRED:
        if key not in table:
            raise CatalogueError(f"{where}: {key} is missing")
    for key in table:
        if key not in _REQUIRED + _OPTIONAL:
            raise CatalogueError(f"{where}: unknown key {key}; known are {_REQUIRED + _OPTIONAL}")
    version = _text(where, table, "version", _VERSION)
    arch = _text(where, table, "arch", _NAME)
    if arch not in ARCHITECTURES:
        raise CatalogueError(f"{where}: arch {arch!r} is none of {', '.join(ARCHITECTURES)}")
    fragments = []
    for name in _names(where, table, "fragments"):
        fragment = path.parent / "configs" / f"{name}.config"
        if not fragment.is_file():
            raise CatalogueError(f"{where}: fragment {name}: there is no file {fragment}")
        fragments.append(fragment)
    patches: tuple[Path, ...] = ()
    if "patches" in table:
        patches = read_series(path.parent / "patches" / _text(where, table, "patches", _NAME))
    return Row(
        version=version,
        arch=arch,
        package=_text(where, table, "package", _NAME),
        suites=tuple(_names(where, table, "suites")),
        fragments=tuple(fragments),
        patches=patches,
    )


def _text(where: str, table: dict[str, object], key: str, pattern: re.Pattern[str]) -> str:
    value = table[key]
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise CatalogueError(f"{where}: {key} = {value!r} does not look like a {key}")
    return value


def _names(where: str, table: dict[str, object], key: str) -> list[str]:
    value = table[key]
    if not isinstance(value, list) or not value:
        raise CatalogueError(f"{where}: {key} must be a list of names, not {value!r}")
    for item in value:
        if not isinstance(item, str) or not _NAME.fullmatch(item):
            raise CatalogueError(f"{where}: {key}: {item!r} does not look like a name")
    return value
