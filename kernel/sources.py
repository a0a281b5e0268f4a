# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the system's apt sources, to learn which mirror this machine uses.

Both formats of sources.list(5): one-line (*.list) and deb822 (*.sources).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from kernel.errors import PackageError

ETC_APT = Path("/etc/apt")
# Debian's public mirror: a system whose sources name none (an air-gapped image, say) gets this.
DEFAULT_MIRROR = "http://deb.debian.org/debian"

_ONE_LINE = re.compile(
    r"deb\s+(?:\[(?P<options>[^]]*)\]\s*)?(?P<uri>\S+)\s+(?P<suite>\S+)(?P<rest>.*)"
)
# Release names and classes that Debian's own archive uses. Third parties use these too for their
# own packages, so the URI has its say too (see _rank).
_SUITE = re.compile(
    r"(?:buster|bullseye|bookworm|trixie|forky|duke|sid|unstable|testing|stable|oldstable)"
    r"(?:-(?:updates|security|backports|backports-sloppy|proposed-updates))?"
)
# "/debian", "/debian-security", snapshot.debian.org's "/archive/debian/20250520T000000Z"
_DEBIAN_PATH = re.compile(r"(?:^|/)debian(?:-security)?(?:/\d{8}T\d{6}Z)?$")


@dataclass(frozen=True)
class Source:
    """One archive and suite of the system's apt sources."""

    uri: str
    suite: str
    components: tuple[str, ...] = ()
    origin: str = field(default="", compare=False)  # "file:line", for messages


def read_system_sources(etc: Path = ETC_APT) -> list[Source]:
    """All enabled binary sources of ``etc``/sources.list and sources.list.d, in apt's order."""
    files = [etc / "sources.list"]
    parts = etc / "sources.list.d"
    if parts.is_dir():
        files += sorted(p for p in parts.iterdir() if p.suffix in (".list", ".sources"))
    found: list[Source] = []
    for path in files:
        try:
            text = path.read_text(errors="replace")
        except OSError:
            continue  # not there, or not for our eyes: apt itself warns about those
        found += (
            parse_deb822(text, str(path))
            if path.suffix == ".sources"
            else parse_list(text, str(path))
        )
    return found


def parse_list(text: str, origin: str = "") -> list[Source]:
    """One-line format: ``deb [options] uri suite component...``; deb-src lines are left out."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        match = _ONE_LINE.fullmatch(line.partition("#")[0].strip())
        if match:
            components = tuple(match["rest"].split())
            found.append(
                Source(match["uri"].rstrip("/"), match["suite"], components, f"{origin}:{number}")
            )
    return found


def parse_deb822(text: str, origin: str = "") -> list[Source]:
    """deb822 format: stanzas with Types, URIs, Suites, Components; not ``Enabled: no``."""
    found = []
    for number, fields in _stanzas(text):
        if "deb" not in fields.get("types", "").split():
            continue
        if fields.get("enabled", "yes").strip().lower() in (
            "no",
            "false",
            "off",
            "0",
            "without",
            "disable",
        ):
            continue
        components = tuple(fields.get("components", "").split())
        for uri in fields.get("uris", "").split():
            for suite in fields.get("suites", "").split():
                found.append(Source(uri.rstrip("/"), suite, components, f"{origin}:{number}"))
    return found


def _stanzas(text: str) -> list[tuple[int, dict[str, str]]]:
    stanzas: list[tuple[int, dict[str, str]]] = []
    fields: dict[str, str] = {}
    key, start = "", 0
    for number, line in enumerate([*text.splitlines(), ""], 1):
        if line.startswith("#"):
            continue
        if not line.strip():
            if fields:
                stanzas.append((start, fields))
            fields, key = {}, ""
        elif line[0] in " \t" and key:
            fields[key] += " " + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            key = name.strip().lower()
            start = start if fields else number
            fields[key] = value.strip()
    return stanzas


def mirror_for(suite: str, sources: list[Source]) -> str:
    """The base URI under which ``suite`` (also one that this system does not use) is to be found.

    A -security suite comes from the archive that the system's own -security entry names, every
    other from the one that its main entry names. Without such an entry: the main mirror's
    neighbour ``…/debian-security``, and Debian's public mirror.
    """
    security = suite.endswith("-security")
    debian = [source for source in sources if _rank(source) is not None]
    same_suite = [source for source in debian if source.suite == suite]
    same_kind = [source for source in debian if source.suite.endswith("-security") == security]
    for candidates in (same_suite, same_kind):
        if candidates:
            return min(candidates, key=lambda source: _rank(source) or 0).uri
    if not security:
        return DEFAULT_MIRROR
    main = mirror_for("stable", sources)
    if not main.endswith("/debian"):
        raise PackageError(
            f"suite {suite}: the system's apt sources name no -security archive, and from "
            f"{main} none can be guessed; add one to /etc/apt/sources.list"
        )
    return main + "-security"


def _rank(source: Source) -> int | None:
    """How likely this is (a mirror of) Debian's archive; lower is better, None is not at all.

    A wrong guess does no harm: signatures are checked against Debian's keyring, so another party's
    archive is refused and not used.
    """
    if not _SUITE.fullmatch(source.suite) or "main" not in source.components:
        return None
    if source.uri.startswith("cdrom:"):
        return None
    if _DEBIAN_PATH.search(source.uri):
        return 0
    return 1 if "debian" in source.uri.lower() else 2
