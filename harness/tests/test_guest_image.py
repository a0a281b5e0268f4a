# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import multiprocessing
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from harness import guest_image, guest_program
from harness.guest_cpio import Entry, directory, regular, symlink, write_cpio
from harness.guest_image import GuestFile, build_agent, build_guest
from harness.guest_program import GuestImageError
from kernel.cache import Cache

pytestmark = pytest.mark.timeout(90)

BUSYBOX = Path("/bin/busybox")


@pytest.fixture(name="empty")
def _empty(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture(name="cache")
def _cache(empty: Cache) -> Cache:
    """A cache that has the agent already, to save the compiler's seconds."""
    agent = build_agent()
    shutil.copytree(agent.parent, empty.root / "guest" / agent.parent.name)
    return empty


def unpack(archive: Path, folder: Path) -> Path:
    """By somebody else's reader."""
    folder.mkdir()
    command = [str(BUSYBOX), "cpio", "-idm"]
    subprocess.run(command, cwd=folder, stdin=archive.open("rb"), check=True, capture_output=True)
    return folder


def test_the_image_holds_what_the_guest_needs(cache: Cache, tmp_path: Path) -> None:
    extra = tmp_path / "extra"
    extra.write_bytes(b"odd size")
    image = build_guest(cache=cache, files={"/opt/deep/extra": GuestFile(extra, 0o640)})
    assert image.path.stat().st_size == image.size < 8 << 20
    root = unpack(image.path, tmp_path / "root")
    assert (root / "init").read_bytes() == build_agent(cache=cache).read_bytes()
    assert (root / "init").stat().st_mode & 0o777 == 0o755
    assert (root / "bin/busybox").read_bytes() == BUSYBOX.read_bytes()
    assert (root / "bin/sh").readlink() == Path("busybox")
    assert (root / "opt/deep/extra").read_bytes() == b"odd size"
    assert (root / "opt/deep/extra").stat().st_mode & 0o777 == 0o640
    assert all((root / name).is_dir() for name in ("dev", "proc", "sys", "tmp"))


def test_the_same_input_gives_the_same_bytes(tmp_path: Path) -> None:
    images = [build_guest(cache=Cache(tmp_path / name)) for name in ("one", "two")]
    assert images[0].key == images[1].key
    assert images[0].path != images[1].path
    assert images[0].path.read_bytes() == images[1].path.read_bytes()


def test_what_is_cached_is_not_built_again(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    first = build_guest(cache=cache)
    run = guest_program._run

    def no_building(title: str, command: list[str], advice: str) -> str:
        assert command == ["gcc", "--version"]
        return run(title, command, advice)

    monkeypatch.setattr(guest_program, "_run", no_building)
    monkeypatch.setattr(guest_image, "write_cpio", lambda entries: pytest.fail("packed again"))
    assert build_guest(cache=cache) == first


def test_the_key_follows_all_that_goes_in(cache: Cache, tmp_path: Path) -> None:
    keys = [build_guest(cache=cache).key, build_guest(cache=cache, compress=True).key]
    extra = tmp_path / "extra"
    for content, mode, place in ((b"1", 0o644, "/a"), (b"2", 0o644, "/a"), (b"2", 0o600, "/a")):
        extra.write_bytes(content)
        keys.append(build_guest(cache=cache, files={place: GuestFile(extra, mode)}).key)
    keys.append(build_guest(cache=cache, files={"/b": GuestFile(extra)}).key)
    assert len(set(keys)) == len(keys)


def test_a_changed_source_is_another_agent(
    cache: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = build_agent(cache=cache)
    sources = tmp_path / "sources"
    shutil.copytree(guest_image.AGENT_SOURCES, sources)
    monkeypatch.setattr(guest_image, "AGENT_SOURCES", sources)
    assert build_agent(cache=cache) == first
    with (sources / "agent.h").open("a") as header:
        header.write("// another\n")
    assert build_agent(cache=cache) != first


def test_a_source_that_does_not_compile_is_named(
    empty: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "broken.c").write_text("int main(void) { return nonsense; }\n")
    monkeypatch.setattr(guest_image, "AGENT_SOURCES", tmp_path / "sources")
    with pytest.raises(GuestImageError, match="broken.c"):
        build_agent(cache=empty)
    assert list(empty.root.glob("guest/*")) == []
    assert list(empty.root.glob("tmp/*")) == []


def _build(root: Path) -> str:
    return str(build_guest(cache=Cache(root)).path)


def test_parallel_builders_agree_and_leave_nothing_half_made(empty: Cache) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        paths = set(pool.map(_build, [empty.root] * 3))
    assert len(paths) == 1
    assert list(empty.root.glob("tmp/*")) == []
    assert len(list(empty.root.glob("guest/*"))) == 2  # the agent and the image


def test_the_i386_agent_is_a_static_32_bit_program(cache: Cache) -> None:
    agent = build_agent("i386", cache=cache)
    assert agent.read_bytes()[:5] == b"\x7fELF\x01"
    assert guest_image._is_static(agent)


def test_a_given_busybox_is_taken_if_it_is_static(cache: Cache, tmp_path: Path) -> None:
    other = tmp_path / "busybox"
    other.write_bytes(BUSYBOX.read_bytes() + b"\0")
    image = build_guest(busybox=other, cache=cache)
    root = unpack(image.path, tmp_path / "root")
    assert (root / "bin/busybox").read_bytes() == other.read_bytes()
    for bad in (Path("/bin/sh"), Path("/etc/passwd"), tmp_path / "missing"):
        with pytest.raises(GuestImageError, match="static ELF program"):
            build_guest(busybox=bad, cache=cache)


def test_an_unknown_architecture_is_refused(cache: Cache) -> None:
    with pytest.raises(GuestImageError, match="x86_64, i386"):
        build_guest("m68k", cache=cache)


names = st.text(
    st.characters(whitelist_categories=["Ll"], max_codepoint=127), min_size=1, max_size=9
)


@settings(deadline=None)
@given(st.dictionaries(names, st.binary(max_size=50), max_size=6))
def test_cpio_is_padded_and_ordered(files: dict[str, bytes]) -> None:
    archive = write_cpio({f"/d/{name}": regular(data) for name, data in files.items()})
    found, place, order = {}, 0, []
    while True:
        head = archive[place : place + 110]
        assert head[:6] == b"070701"
        size, length = int(head[54:62], 16), int(head[94:102], 16)
        name = archive[place + 110 : place + 110 + length - 1].decode()
        place = (place + 110 + length + 3) & ~3
        if name == "TRAILER!!!":
            break
        found[name] = archive[place : place + size]
        order.append(name)
        place = (place + size + 3) & ~3
    assert place == len(archive)
    assert order == sorted(order)
    expected = {f"d/{name}": data for name, data in files.items()}
    assert found == ({"d": b""} | expected if files else {})


def test_cpio_refuses_what_cannot_be_unpacked() -> None:
    with pytest.raises(ValueError, match="absolute"):
        write_cpio({"relative": directory()})
    with pytest.raises(ValueError, match="not a folder"):
        write_cpio({"/a": symlink("b"), "/a/b": Entry(0o100644)})
