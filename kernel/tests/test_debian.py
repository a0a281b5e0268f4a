# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from kernel import apt_state, debian
from kernel.apt_state import Candidate, PrivateApt
from kernel.cache import Cache
from kernel.errors import PackageError
from kernel.progress import Silent
from kernel.sources import Source
from kernel.tests.fake_kernel import PACKAGE, SUITE, FakeKernel

SYSTEM_LISTS = Path("/var/lib/apt/lists")


class Notes(Silent):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


def use_mirror(monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    sources = [Source(uri, SUITE, ("main",))]
    monkeypatch.setattr(apt_state, "read_system_sources", lambda: sources)
    monkeypatch.setattr(apt_state, "_CONF", apt_state._CONF + 'Acquire::Retries "0";\n')


def test_warm_cache_never_asks_and_says_so(
    fake: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = fake.put_package()

    def forbidden(*_: object) -> None:
        raise AssertionError("the mirror was asked")

    monkeypatch.setattr(PrivateApt, "update", forbidden)
    progress = Notes()
    found = debian.fetch_package(PACKAGE, SUITE, progress=progress, cache=fake.cache)
    assert found == package
    (note,) = progress.notes
    assert "9.9.1-1: from the cache, the mirror was not asked" in note
    with pytest.raises(AssertionError, match="the mirror was asked"):
        debian.fetch_package(PACKAGE, SUITE, refresh=True, cache=fake.cache)


def test_unreachable_mirror_with_cold_cache_is_named(
    fake: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirror(monkeypatch, "http://127.0.0.1:9/debian")
    with pytest.raises(PackageError, match="Is the mirror reachable") as caught:
        debian.fetch_package(PACKAGE, SUITE, cache=fake.cache)
    assert "127.0.0.1" in str(caught.value)
    assert list((fake.cache.root / "packages").iterdir()) == []


def test_unreachable_mirror_with_warm_cache_is_a_note(
    fake: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = fake.put_package()
    use_mirror(monkeypatch, "http://127.0.0.1:9/debian")
    progress = Notes()
    found = debian.fetch_package(PACKAGE, SUITE, refresh=True, progress=progress, cache=fake.cache)
    assert found == package
    assert "the mirror did not answer" in progress.notes[-1]


def test_unsigned_archive_is_refused(
    fake: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deb = fake.put_package()
    packages = tmp_path / f"debian/dists/{SUITE}/main/binary-amd64/Packages"
    packages.parent.mkdir(parents=True)
    packages.write_text(
        f"Package: {PACKAGE}\nVersion: 9.9.1-2\nArchitecture: all\nFilename: {deb.name}\n"
        f"Size: 1\nSHA256: {'0' * 64}\n"
    )
    (tmp_path / f"debian/dists/{SUITE}/Release").write_text(f"Suite: {SUITE}\nComponents: main\n")
    use_mirror(monkeypatch, f"file:{tmp_path}/debian")
    with pytest.raises(PackageError, match="not signed"):
        debian.fetch_package(PACKAGE, SUITE, cache=Cache(tmp_path / "cold"))


def test_missing_keyring_says_what_to_install(
    fake: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apt_state, "KEYRING", Path("/nowhere.gpg"))
    with pytest.raises(PackageError, match="apt-get install debian-archive-keyring"):
        debian.fetch_package(PACKAGE, SUITE, cache=fake.cache)


def test_proxies_of_the_host_hold_and_its_hooks_do_not(tmp_path: Path) -> None:
    host = tmp_path / "host.conf"
    host.write_text(
        'Acquire::http::Proxy "http://proxy.example:3128";\n'
        'APT::Update::Post-Invoke { "rm -rf /everything"; };\n'
        'APT::Update::Post-Invoke-Success { "touch /somewhere"; };\n'
        'APT::Default-Release "stable";\n'
    )
    apt = PrivateApt(Cache(tmp_path / "cache"), (SUITE,), "i386")
    apt.configure()
    dump = subprocess.run(
        ["apt-config", "-c", str(apt.state / "apt.conf"), "dump"],
        env={**os.environ, "APT_CONFIG": str(host)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert 'Acquire::http::Proxy "http://proxy.example:3128";' in dump
    assert "everything" not in dump and "somewhere" not in dump
    assert 'APT::Default-Release "stable";' not in dump
    assert 'APT::Architectures:: "i386";' in dump and 'APT::Architectures:: "amd64";' not in dump
    assert f'Dir::State "{apt.state}";' in dump


def test_sources_follow_the_systems_mirrors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = [
        Source("http://mirror.example/debian", "bookworm", ("main",)),
        Source("http://sec.example/debian-security", "bookworm-security", ("main",)),
    ]
    monkeypatch.setattr(apt_state, "read_system_sources", lambda: system)
    apt = PrivateApt(Cache(tmp_path), ("trixie", "trixie-updates", "trixie-security"), "amd64")
    apt.configure()
    text = (apt.state / "jumpback.sources").read_text()
    assert "URIs: http://mirror.example/debian\nSuites: trixie trixie-updates\n" in text
    assert "URIs: http://sec.example/debian-security\nSuites: trixie-security\n" in text
    assert text.count(f"Signed-By: {apt_state.KEYRING}\n") == 2


def test_file_that_is_no_package_is_named(tmp_path: Path) -> None:
    bad = tmp_path / "bad.deb"
    bad.write_text("no")
    with pytest.raises(PackageError, match="bad.deb: dpkg-deb cannot unpack it"):
        debian.extract(bad, tmp_path / "out")


def test_host_suite(tmp_path: Path) -> None:
    path = tmp_path / "os-release"
    path.write_text("NAME=Debian\nVERSION_CODENAME=bookworm\n")
    assert debian.host_suite(path) == "bookworm"
    path.write_text("NAME=Other\n")
    with pytest.raises(PackageError, match="no VERSION_CODENAME"):
        debian.host_suite(path)


@pytest.mark.network
@pytest.mark.timeout(300)
def test_package_of_a_foreign_architecture_comes_from_the_mirror(tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in SYSTEM_LISTS.rglob("*")}
    cache = Cache(tmp_path)
    deb = debian.fetch_package("busybox-static", debian.host_suite(), "i386", cache=cache)
    debian.extract(deb, tmp_path / "out")
    busybox = (tmp_path / "out/bin/busybox").read_bytes()
    assert busybox[:5] == b"\x7fELF\x01"  # ELF32
    assert {path: path.stat().st_mtime_ns for path in SYSTEM_LISTS.rglob("*")} == before
    with pytest.raises(PackageError, match="have no package no-such-package"):
        debian.fetch_package("no-such-package", debian.host_suite(), "i386", cache=cache)


@pytest.mark.network
@pytest.mark.timeout(300)
def test_archive_signed_by_another_key_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = Path("/usr/share/keyrings/debian-archive-removed-keys.gpg")
    monkeypatch.setattr(apt_state, "KEYRING", others)
    with pytest.raises(PackageError, match="NO_PUBKEY"):
        debian.fetch_package("busybox-static", debian.host_suite(), "i386", cache=Cache(tmp_path))


def test_a_damaged_package_in_the_cache_is_not_used(tmp_path: Path) -> None:
    path = tmp_path / "thing_1_all.deb"
    path.write_bytes(b"what was downloaded")
    sound = hashlib.sha256(b"what was downloaded").hexdigest()
    candidate = Candidate("thing", "1", "all", 19, sound)
    debian._drop_if_damaged(path, candidate, Silent())
    assert path.exists()
    path.write_bytes(b"what a crash left of")
    debian._drop_if_damaged(path, candidate, Silent())
    assert not path.exists()
