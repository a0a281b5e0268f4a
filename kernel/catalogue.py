# SPDX-License-Identifier: GPL-2.0-or-later
"""The catalogue of kernels under test: catalogue.toml, read and checked."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

from kernel.errors import CatalogueError

HERE = Path(__file__).resolve().parent
CATALOGUE = HERE / "catalogue.toml"
ARCHITECTURES = ("x86_64", "i386")

_VERSION = re.compile(r"\d+\.\d+")
_NAME = re.compile(r"[a-z0-9][a-z0-9.+_-]*")
_REQUIRED = ("version", "arch", "package", "suites", "fragments")
_OPTIONAL = ("patches",)


@dataclass(frozen=True)
class Row:
    """One kernel under test: where its source is, and how it is configured and patched."""

    version: str  # "6.1"
    arch: str  # "x86_64" or "i386", as make's ARCH=
    package: str  # "linux-source-6.1"
    suites: tuple[str, ...]  # ("bookworm", "bookworm-security")
    fragments: tuple[Path, ...]  # existing files, in order
    patches: tuple[Path, ...]  # existing files, in order of application

    @property
    def name(self) -> str:
        return f"{self.version}-{self.arch}"


def load(path: Path = CATALOGUE) -> list[Row]:
    """All rows of ``path``; fragments and patches are looked up beside it.

    Raises CatalogueError that names the file and the row.
    """
    try:
        document = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise CatalogueError(f"{path}: {error}") from error
    tables = document.get("kernel", [])
    if not isinstance(tables, list) or not tables:
        raise CatalogueError(f"{path}: no [[kernel]] row")
    rows = [_row(path, number, table) for number, table in enumerate(tables, 1)]
    seen: set[str] = set()
    for row in rows:
        if row.name in seen:
            raise CatalogueError(f"{path}: two rows for version {row.version}, arch {row.arch}")
        seen.add(row.name)
    return rows


def find(version: str, arch: str, rows: list[Row] | None = None) -> Row:
    """The row for ``version`` and ``arch``; CatalogueError tells what there is instead."""
    rows = load() if rows is None else rows
    for row in rows:
        if (row.version, row.arch) == (version, arch):
            return row
    known = ", ".join(f"{row.version} ({row.arch})" for row in rows)
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
