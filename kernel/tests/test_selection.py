# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from pathlib import Path

import pytest

from kernel import builder, catalogue
from kernel.cli_text import details, size_text, table
from kernel.errors import CatalogueError, UserKernelError
from kernel.selection import State, is_path, list_kernels, prune, resolve
from kernel.tests.fake_kernel import FakeKernel


def test_version_and_path_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "linux").mkdir()
    (tmp_path / "6.1").mkdir()
    assert is_path("linux") and is_path("./6.1") and is_path("~/linux") and is_path(".")
    assert not is_path("6.1") and not is_path("nowhere")


def test_resolve_builds_a_row_and_checks_a_path(
    fake: FakeKernel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.put_package()
    monkeypatch.setattr(catalogue, "load", lambda: [fake.row()])
    monkeypatch.setattr(catalogue, "load_variants", lambda rows: [])
    assert resolve("9.9", cache=fake.cache).release == "9.9.1-jumpback"
    with pytest.raises(CatalogueError, match="no kernel 9.8 for x86_64"):
        resolve("9.8", cache=fake.cache)
    with pytest.raises(UserKernelError, match="there is no such folder"):
        resolve(f"{tmp_path}/nowhere", cache=fake.cache)


def test_list_tells_built_building_outdated_and_not_built(fake: FakeKernel) -> None:
    (listed,) = list_kernels(fake.cache, [fake.row()])
    assert (listed.state, listed.size) == (State.NOT_BUILT, 0)
    fake.put_package()
    kernel = builder.build(fake.row(), cache=fake.cache)
    (listed,) = list_kernels(fake.cache, [fake.row()])
    assert (listed.state, listed.release) == (State.BUILT, "9.9.1-jumpback")
    assert listed.size > 0 and listed.folder == kernel.bzimage.parent
    changed = fake.row("CONFIG_SWAP=y\nCONFIG_B=y\n")
    listing = list_kernels(fake.cache, [changed])
    assert [one.state for one in listing] == [State.NOT_BUILT, State.OUTDATED]
    place = fake.cache.root / "kernels" / str(builder.current_key(changed, fake.cache))
    with fake.cache.lock(builder.lock_name(place)):
        assert list_kernels(fake.cache, [changed])[0].state is State.BUILDING


def test_prune_keeps_what_the_catalogue_wants_and_what_is_in_use(
    fake: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.put_package()
    monkeypatch.setattr(catalogue, "load", lambda: [fake.row()])
    monkeypatch.setattr(catalogue, "load_variants", lambda rows: [])
    old = builder.build(fake.row("CONFIG_SWAP=y\nCONFIG_B=y\n"), cache=fake.cache).bzimage.parent
    new = builder.build(fake.row(), cache=fake.cache).bzimage.parent
    (source,) = (fake.cache.root / "sources").iterdir()
    with fake.cache.lock(f"source-{source.name}", shared=True):
        pruned = prune(fake.cache)
    assert pruned.paths == (old,) and pruned.size > 0
    assert new.exists() and source.exists() and not old.exists()
    assert prune(fake.cache).paths == (source,)
    assert builder.build(fake.row(), cache=fake.cache).bzimage.parent == new
    prune(fake.cache, everything=True)
    assert not new.exists() and not list((fake.cache.root / "packages").iterdir())


def test_text(fake: FakeKernel) -> None:
    fake.put_package()
    kernel = builder.build(fake.row(), cache=fake.cache)
    lines = table(list_kernels(fake.cache, [fake.row()])).splitlines()
    assert lines[0].split() == [
        "KERNEL",
        "ARCH",
        "STATE",
        "RELEASE",
        "SOURCE",
        "SIZE",
        "CAUGHT",
        "BY",
    ]
    assert lines[1].split()[:5] == ["9.9", "x86_64", "built", "9.9.1-jumpback", "9.9.1-1"]
    assert lines[0].index("STATE") == lines[1].index("built")
    assert f"bzImage  {kernel.bzimage}" in details(kernel)
    assert [size_text(n) for n in (0, 999, 1000, 28_400_000, 5_000_000_000_000)] == [
        "0 B", "999 B", "1.0 kB", "28.4 MB", "5000.0 GB"
    ]  # fmt: skip
