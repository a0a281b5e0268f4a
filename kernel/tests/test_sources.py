# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.errors import PackageError
from kernel.sources import DEFAULT_MIRROR, mirror_for, parse_deb822, parse_list, read_system_sources

Write = Callable[[str, str], Path]

LIST = """\
# deb http://commented.example/debian bookworm main
deb http://mirror.example/debian/ bookworm main contrib # trailing
deb-src http://source.example/debian bookworm main
deb [arch=amd64 signed-by=/k.gpg] http://security.example/debian-security bookworm-security main
deb https://packages.example/apt bookworm main
"""
DEB822 = """\
# Debian
Types: deb deb-src
URIs: http://mirror.example/debian
# a comment inside
Suites: bookworm
 bookworm-updates
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Components: main
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
Components: main
"""


def test_one_line_format() -> None:
    sources = parse_list(LIST)
    assert [(s.uri, s.suite, s.components) for s in sources] == [
        ("http://mirror.example/debian", "bookworm", ("main", "contrib")),
        ("http://security.example/debian-security", "bookworm-security", ("main",)),
        ("https://packages.example/apt", "bookworm", ("main",)),
    ]


def test_deb822_format() -> None:
    sources = parse_deb822(DEB822)
    assert [(s.uri, s.suite) for s in sources] == [
        ("http://mirror.example/debian", "bookworm"),
        ("http://mirror.example/debian", "bookworm-updates"),
    ]


def test_system_sources_are_read_from_both_kinds_of_files(write: Write, tmp_path: Path) -> None:
    write("etc/sources.list", "deb http://a.example/debian sid main\n")
    write("etc/sources.list.d/b.list", "deb http://b.example/debian sid main\n")
    write("etc/sources.list.d/c.sources", DEB822)
    write("etc/sources.list.d/d.list.save", "deb http://d.example/debian sid main\n")
    found = [source.uri for source in read_system_sources(tmp_path / "etc")]
    assert found == [
        "http://a.example/debian",
        "http://b.example/debian",
        "http://mirror.example/debian",
        "http://mirror.example/debian",
    ]
    assert read_system_sources(tmp_path / "nowhere") == []


@pytest.mark.parametrize("suite", ["bookworm", "trixie", "sid", "trixie-backports"])
def test_foreign_suite_comes_from_the_systems_main_mirror(suite: str) -> None:
    # A third party's archive that stands first must not be taken for Debian's.
    lines = ["deb https://packages.example/apt bookworm main", *LIST.splitlines()]
    assert mirror_for(suite, parse_list("\n".join(lines))) == "http://mirror.example/debian"


@pytest.mark.parametrize("suite", ["bookworm-security", "bullseye-security"])
def test_security_suite_comes_from_the_security_archive(suite: str) -> None:
    assert mirror_for(suite, parse_list(LIST)) == "http://security.example/debian-security"


def test_security_archive_is_guessed_beside_the_main_mirror_or_asked_for() -> None:
    beside = parse_list("deb http://mirror.example/debian bookworm main")
    assert mirror_for("trixie-security", beside) == "http://mirror.example/debian-security"
    odd = parse_list("deb http://mirror.example/linux-deb bookworm main")
    with pytest.raises(PackageError, match="name no -security archive.*linux-deb"):
        mirror_for("trixie-security", odd)


def test_system_without_debian_sources_gets_the_public_mirror() -> None:
    third = parse_list(
        "deb https://packages.example/debian stable extra\ndeb cdrom:[x] bookworm main"
    )
    assert mirror_for("trixie", third) == DEFAULT_MIRROR


def test_snapshot_mirror_counts_as_debian() -> None:
    uri = "http://snapshot.debian.org/archive/debian/20250520T000000Z"
    text = f"deb http://elsewhere.example/my-debian-things bookworm main\ndeb {uri} bookworm main"
    assert mirror_for("trixie", parse_list(text)) == uri
