# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages as files: found in a suite, downloaded once, unpacked without installing.

What a suite was found to have is remembered beside the package. So with a warm cache nothing goes
over the network, until a caller asks for ``refresh``.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from kernel.apt_state import DEB_ARCHITECTURE, Candidate, PrivateApt
from kernel.cache import Cache
from kernel.errors import PackageError
from kernel.progress import Progress, Silent

# What apt says of a list whose signature does not hold.
_SIGNATURE = re.compile(r"GPG error|NO_PUBKEY|BADSIG|EXPKEYSIG|is not signed")
_READ_SIZE = 1 << 20


@dataclass(frozen=True)
class Package:
    """A package of a suite. ``path`` need not exist before ``fetch``."""

    name: str
    version: str
    path: Path


def host_suite(os_release: Path = Path("/etc/os-release")) -> str:
    """The suite of this machine, "bookworm" for Debian 12."""
    match = re.search(r'^VERSION_CODENAME="?(\w+)', os_release.read_text(), re.MULTILINE)
    if not match:
        raise PackageError(f"{os_release}: no VERSION_CODENAME; the rig runs on a Debian release")
    return match[1]


def fetch_package(
    name: str,
    suite: str | Sequence[str],
    architecture: str = "x86_64",
    *,
    refresh: bool = False,
    progress: Progress | None = None,
    cache: Cache | None = None,
) -> Path:
    """The .deb of ``name``, as the newest of ``suite`` has it.

    ``architecture``: x86_64 or i386 (Debian's amd64 is understood too). ``refresh``: ask the mirror
    whether there is something newer. Works without network if the package is there already.
    Raises PackageError.
    """
    cache, progress = cache or Cache(), progress or Silent()
    package = locate(name, suite, architecture, refresh=refresh, progress=progress, cache=cache)
    return package.path


def known(
    name: str, suite: str | Sequence[str], architecture: str = "x86_64", *, cache: Cache
) -> Candidate | None:
    """What ``suite`` was last found to have, without any network; None if it was never asked."""
    record = _record(cache, name, _suites(suite), _debian(architecture))
    try:
        return Candidate(**json.loads(record.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def locate(
    name: str,
    suite: str | Sequence[str],
    architecture: str = "x86_64",
    *,
    refresh: bool = False,
    progress: Progress,
    cache: Cache,
) -> Package:
    """As fetch_package, and says the version."""
    suites, debian = _suites(suite), _debian(architecture)
    lock = f"package-{name}-{debian}"
    if cache.locked(lock):
        progress.note(f"{name}: another process fetches it, waiting")
    with cache.lock(lock):
        old = known(name, suites, debian, cache=cache)
        old_path = _place(cache, old) if old else None
        if old and old_path and old_path.is_file():
            _drop_if_damaged(old_path, old, progress)
        if old and old_path and old_path.is_file() and not refresh:
            progress.note(f"{name} {old.version}: from the cache, the mirror was not asked")
            return Package(name, old.version, old_path)
        try:
            new = _ask(name, suites, debian, cache, progress)
        except PackageError as error:
            if old and old_path and old_path.is_file():
                progress.note(
                    f"{name} {old.version}: from the cache, the mirror did not answer: {error}"
                )
                return Package(name, old.version, old_path)
            raise
        return Package(name, new.version, _place(cache, new))


def extract(deb: Path, destination: Path) -> None:
    """Unpacks the files of ``deb`` below ``destination``; its scripts are not run."""
    destination.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        ["dpkg-deb", "--extract", str(deb), str(destination)], capture_output=True, text=True
    )
    if done.returncode != 0:
        raise PackageError(f"{deb}: dpkg-deb cannot unpack it: {done.stderr.strip()}")


def _ask(
    name: str, suites: tuple[str, ...], debian: str, cache: Cache, progress: Progress
) -> Candidate:
    """Asks the mirror, downloads what it has unless it is there, and remembers it."""
    apt = PrivateApt(cache, suites, debian)
    with cache.lock(f"apt-{apt.state.name}"):
        apt.configure()
        complaint = None
        try:
            apt.update(progress)
        except PackageError as error:
            complaint = error  # one list in the middle of a mirror's sync need not stop us
        candidate = apt.candidate(name)
        if candidate is None:
            raise complaint or PackageError(
                f"{', '.join(suites)} ({debian}) have no package {name}; the sources asked are in "
                f"{apt.state / 'jumpback.sources'}"
            )
        if complaint and _SIGNATURE.search(str(complaint)):
            raise complaint  # old lists may be a way to keep an old package: never go on quietly
        if complaint:
            progress.note(f"{name} {candidate.version} may not be the newest: {complaint}")
        place = _place(cache, candidate)
        if not place.is_file():
            with cache.scratch("download") as folder:
                path = apt.download(candidate, folder, progress)
                _check(path, candidate)
                with path.open("rb") as handle:
                    os.fsync(handle.fileno())
                os.rename(path, place)
    record = _record(cache, name, suites, debian)
    with cache.scratch("record") as folder:
        (folder / "record").write_text(json.dumps(asdict(candidate), indent=1) + "\n")
        os.rename(folder / "record", record)
    return candidate


def _check(path: Path, candidate: Candidate) -> None:
    """apt has checked it already; this is about our own reading of apt's lists."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(_READ_SIZE):
            digest.update(block)
    if digest.hexdigest() != candidate.sha256:
        raise PackageError(
            f"{path.name}: sha256 is {digest.hexdigest()}, "
            f"the signed package list says {candidate.sha256}"
        )


def _drop_if_damaged(path: Path, candidate: Candidate, progress: Progress) -> None:
    """A package that stands in the cache is used only if it is still what was downloaded."""
    try:
        _check(path, candidate)
    except PackageError as error:
        progress.note(f"{error}: it is fetched again")
        path.unlink()


def _suites(suite: str | Sequence[str]) -> tuple[str, ...]:
    return (suite,) if isinstance(suite, str) else tuple(suite)


def _debian(architecture: str) -> str:
    return DEB_ARCHITECTURE.get(architecture, architecture)


def _place(cache: Cache, candidate: Candidate) -> Path:
    return cache.folder("packages") / candidate.file_name


def _record(cache: Cache, name: str, suites: tuple[str, ...], debian: str) -> Path:
    return cache.folder("packages") / f"{name}.{'+'.join(suites)}.{debian}.json"
