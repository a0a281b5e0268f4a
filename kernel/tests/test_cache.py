# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from kernel.cache import Cache, default_root

REPOSITORY = Path(__file__).resolve().parents[2]
# Makes a scratch folder, says so, and then stays in it for ever.
HOLDER = """
import sys, time
from pathlib import Path
from kernel.cache import Cache
with Cache(Path(sys.argv[1])).scratch("held") as folder:
    (folder / "file").write_text("half-made")
    print(folder, flush=True)
    time.sleep(600)
"""


def start_holder(root: Path) -> tuple[subprocess.Popen[str], Path]:
    command = [sys.executable, "-c", HOLDER, str(root)]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_scratch_of_a_killed_process_is_removed_and_of_a_living_one_kept(tmp_path: Path) -> None:
    process, folder = start_holder(tmp_path)
    with process:
        try:
            cache = Cache(tmp_path)
            assert cache.remove_stale() == []
            assert (folder / "file").exists()
        finally:
            process.kill()
        process.wait()
        assert cache.remove_stale() == [folder]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_folder_that_could_not_be_removed_is_removed_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path)
    with monkeypatch.context() as context:
        # What a child that is still writing does to rmtree.
        context.setattr("kernel.cache.shutil.rmtree", lambda path, ignore_errors: None)
        with cache.scratch("x") as folder:
            pass
        assert cache.remove_stale() == []
    assert folder.exists()
    assert cache.remove_stale() == [folder]
    folder.mkdir()  # an older rig left folders without owner files
    assert cache.remove_stale() == [folder]
    assert list((tmp_path / "tmp").iterdir()) == []


def test_scratch_goes_also_after_an_error(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    with pytest.raises(ZeroDivisionError):
        with cache.scratch("x") as folder:
            (folder / "file").touch()
            raise ZeroDivisionError
    assert list((tmp_path / "tmp").iterdir()) == []


def test_publish_and_remove_move_whole_folders(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    place = tmp_path / "kernels" / "key"
    with cache.scratch("x") as folder:
        made = folder / "made"
        made.mkdir()
        (made / "file").write_text("whole")
        cache.publish(made, place)
    assert (place / "file").read_text() == "whole"
    cache.remove(place)
    assert not place.exists()
    assert list((tmp_path / "tmp").iterdir()) == []


def test_locks(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    assert not cache.locked("a")
    with cache.lock("a"):
        assert cache.locked("a")
        assert not cache.locked("b")
        with cache.try_lock("a") as free:
            assert not free
    assert not cache.locked("a")
    with cache.try_lock("a") as free:
        assert free
    with cache.lock("a", shared=True), cache.try_lock("a") as free:
        assert not free


def test_root_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("JUMPBACK_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_root() == Path("/home/somebody/.cache/jumpback")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_root() == Path("/xdg/jumpback")
    monkeypatch.setenv("JUMPBACK_CACHE", str(tmp_path))
    assert default_root() == tmp_path
