# SPDX-License-Identifier: GPL-2.0-or-later
"""Variants: kernels of the catalogue with one change, built from the same source."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from kernel import builder, catalogue, compiler_cache, source_tree
from kernel.cache import Cache
from kernel.catalogue import Row
from kernel.cli_text import details
from kernel.debian import locate
from kernel.errors import PatchError
from kernel.progress import Silent
from kernel.selection import State, is_path, list_kernels, prune, resolve
from kernel.tests.fake_kernel import FakeKernel

WORSE = "--- a/greeting\n+++ b/greeting\n@@ -1 +1 @@\n-hello\n+go away\n"
PATCHED = [row for row in (*catalogue.load(), *catalogue.load_variants()) if row.all_patches]
COMPILE = "$(CC) -c main.c -o $(O)/main.o"


def test_variant_is_built_beside_its_kernel_and_the_source_stays_as_it_is(fake: FakeKernel) -> None:
    fake.put_package()
    worse = fake.variant("worse", WORSE)
    built = builder.build(worse, cache=fake.cache)
    assert (built.name, built.version, built.variant) == ("9.9+worse", "9.9", "worse")
    assert built.vmlinux.read_text() == "go away\n"
    (source,) = (fake.cache.root / "sources").iterdir()
    assert (source / "greeting").read_text() == "hello\n"
    assert sorted(p.name for p in source.iterdir()) == ["Makefile", "greeting", "main.c", "verse"]
    base = builder.build(fake.row(), cache=fake.cache)
    assert (base.name, base.variant, base.vmlinux.read_text()) == ("9.9", "", "hello\n")
    assert base.key != built.key
    assert builder.build(worse, cache=fake.cache) == built
    assert fake.runs == 2
    assert list((fake.cache.root / "tmp").iterdir()) == []


def test_changed_patch_is_another_variant(fake: FakeKernel) -> None:
    first = builder.cache_key(fake.variant("worse", WORSE), "1", "gcc")
    second = builder.cache_key(fake.variant("worse", WORSE.replace("away", "on")), "1", "gcc")
    base = builder.cache_key(fake.row(), "1", "gcc")
    assert len({first, second, base}) == 3


def test_patch_that_does_not_apply_is_named_and_leaves_nothing(fake: FakeKernel) -> None:
    fake.put_package()
    wrong = fake.variant("wrong", WORSE.replace("-hello", "-good morning"))
    with pytest.raises(PatchError, match="wrong.patch: patch 1 of 1 does not apply"):
        builder.build(wrong, cache=fake.cache)
    assert fake.runs == 0
    assert list((fake.cache.root / "tmp").iterdir()) == []
    assert builder.build(fake.row(), cache=fake.cache).vmlinux.read_text() == "hello\n"


def test_variant_is_typed_listed_and_kept(
    fake: FakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.put_package()
    worse = fake.variant("worse", WORSE)
    monkeypatch.setattr(catalogue, "load", lambda: [fake.row()])
    monkeypatch.setattr(catalogue, "load_variants", lambda rows: [worse])
    assert not is_path("9.9+worse") and not is_path("9.9+nothing")
    listed = {(one.version, one.state) for one in list_kernels(fake.cache)}
    assert listed == {("9.9", State.NOT_BUILT), ("9.9+worse", State.NOT_BUILT)}
    built = resolve("9.9+worse", cache=fake.cache)
    assert "variant  regression: worse (none)" in details(built).splitlines()
    assert "caught   by jump-call, at P1" in details(built).splitlines()
    listed = {(one.version, one.state) for one in list_kernels(fake.cache)}
    assert listed == {("9.9", State.NOT_BUILT), ("9.9+worse", State.BUILT)}
    assert [one.caught for one in list_kernels(fake.cache)] == ["", "jump-call: P1"]
    prune(fake.cache)
    assert built.vmlinux.exists()


@pytest.mark.skipif(shutil.which("ccache") is None, reason="ccache is not installed")
def test_variant_compiles_only_what_changed(fake: FakeKernel) -> None:
    fake.put_package(pause=COMPILE)
    change = "--- a/main.c\n+++ b/main.c\n@@ -1 +1 @@\n-int main(void) {{ return 0; }}\n"
    change += "+int main(void) {{ return 1; }}\n"
    counts = []
    for row in (
        fake.row(),
        fake.variant("worse", WORSE),
        fake.variant("other", change.format()),
    ):
        builder.build(row, cache=fake.cache)
        counts.append(statistics(fake)["local_storage_hit"])
    assert counts == [0, 1, 1]
    folder = fake.cache.root / compiler_cache.FOLDER
    assert folder in prune(fake.cache, everything=True).paths and not folder.exists()


def test_builds_without_ccache(fake: FakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    found = shutil.which
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "ccache" else found(name))
    fake.put_package(pause=COMPILE)
    assert builder.build(fake.row(), cache=fake.cache).bzimage.exists()
    assert list((fake.cache.root / compiler_cache.FOLDER).iterdir()) == []


def statistics(fake: FakeKernel) -> dict[str, int]:
    folder = fake.cache.root / compiler_cache.FOLDER
    command = ["ccache", "--dir", str(folder), "--print-stats"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    pairs = (line.split("\t") for line in done.stdout.splitlines())
    return {name: int(value) for name, value in pairs}


@pytest.mark.network
@pytest.mark.timeout(600)  # a source package that is not in the cache is fetched first
@pytest.mark.parametrize("version", sorted({row.version for row in PATCHED}))
def test_shipped_patches_apply(version: str) -> None:
    rows = [row for row in PATCHED if row.version == version]
    cache = Cache()
    package = locate(rows[0].package, rows[0].suites, progress=Silent(), cache=cache)
    with source_tree.prepared(package, cache, Silent()) as source:
        with source_tree.linked(source, rows[0].patches, cache) as tree:
            for name in changed_files(rows[0]):
                assert (tree / name).read_bytes() != (source / name).read_bytes()
            for variant in filter(None, {row.variant for row in rows}):
                check = [*source_tree.PATCH, "--dry-run", f"--input={variant.patch}"]
                done = subprocess.run(check, cwd=tree, capture_output=True, text=True)
                assert done.returncode == 0, f"{variant.patch}: {done.stdout}"


def changed_files(row: Row) -> list[str]:
    lines = "\n".join(patch.read_text() for patch in row.patches).splitlines()
    return [line.removeprefix("+++ b/") for line in lines if line.startswith("+++ b/")]
