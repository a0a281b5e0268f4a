# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's program that loads a kernel to jump to (fixtures/jump), and the two guests it needs:
B's stands as a file in A's.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.agent import Agent
from harness.agent_state import CommandResult
from harness.errors import GuestBroken, UsageError
from harness.guest_image import GuestFile, build_guest
from harness.guest_program import build_program
from harness.kexec.calls import PAGE
from harness.paths import TREE
from kernel.progress import Progress

SOURCES = TREE / "fixtures" / "jump"
GUEST_PATH = "/bin/jb-jump"
KERNEL_PATH = "/boot/bzImage"
INITRD_PATH = "/boot/initrd"


@dataclass(frozen=True)
class Window:
    """Where B lives, as kexec-tools says it: first and last byte. Below 640 KiB it has RAM, too."""

    first: int = 0x100000
    last: int = 0x3FFFFFF

    @classmethod
    def parse(cls, first: str, last: str) -> Window:
        """From --mem-min and --mem-max. Raises UsageError."""
        try:
            window = cls(int(first, 0), int(last, 0))
        except ValueError as error:
            raise UsageError(
                f"--mem-min {first}, --mem-max {last}: addresses such as 0x3ffffff were expected"
            ) from error
        if window.first % PAGE or (window.last + 1) % PAGE or window.first < 0x100000:
            raise UsageError(
                f"--mem-min {first}, --mem-max {last}: expected a range of whole pages above 1 MiB"
            )
        if window.first >= window.last:
            raise UsageError(f"--mem-min {first} is not below --mem-max {last}")
        return window


@dataclass(frozen=True)
class Loaded:
    """What the loader said: all are guest physical addresses."""

    entry: int
    kernel: int
    word: int  # where the first code of the image keeps the way back that it was offered


def build_loader(arch: str, progress: Progress | None = None) -> Path:
    """The static program for ``arch``, from the cache if it is there. Raises GuestImageError."""
    return build_program("jb-jump", SOURCES, arch, title="guest's jump loader", progress=progress)


def build_guests(
    arch: str,
    bzimage: Path,
    progress: Progress | None = None,
    tools: Mapping[str, GuestFile] | None = None,
) -> tuple[Path, int]:
    """A's initramfs, with B's kernel and initramfs in it, and the size of B's in bytes. ``tools``:
    further files, of both."""
    own = {GUEST_PATH: GuestFile(build_loader(arch, progress), 0o755), **(tools or {})}
    other = build_guest(arch, progress=progress, files=own)
    files = {**own, KERNEL_PATH: GuestFile(bzimage), INITRD_PATH: GuestFile(other.path)}
    return build_guest(arch, progress=progress, files=files).path, other.size


def load_kernel(agent: Agent, window: Window, command_line: str, *, plain: bool = False) -> Loaded:
    """In A. Raises GuestBroken if the loader or the kernel refuses."""
    words = [GUEST_PATH, "load", "--kernel", KERNEL_PATH, "--initrd", INITRD_PATH]
    words += ["--append", command_line, *(["--plain"] if plain else [])]
    words += ["--mem-min", hex(window.first), "--mem-max", hex(window.last)]
    said = run_tool(agent, words[1:], ["entry", "kernel", "word"])
    return Loaded(entry=said["entry"], kernel=said["kernel"], word=said["word"])


def load_way_back(agent: Agent) -> int:
    """In B: the image that jumps back to where its command line says. Returns that entry."""
    return run_tool(agent, ["back"], ["entry"])["entry"]


def read_core(agent: Agent, pfns: Sequence[int]) -> dict[int, bytes]:
    """In B: page frames of A, as B's /proc/vmcore gives them."""
    data = _output(agent, [GUEST_PATH, "core", "--pages", ",".join(map(str, pfns))]).output
    if len(data) != PAGE * len(pfns):
        raise GuestBroken(f"jb-jump core: {len(pfns)} pages were expected, found {len(data)} bytes")
    return {pfn: data[PAGE * at :][:PAGE] for at, pfn in enumerate(pfns)}


def run_tool(
    agent: Agent, words: list[str], names: Iterable[str], limit: float = 60
) -> dict[str, int]:
    """The guest's program with these words: what it says, a name and a number a line, of which
    those of ``names`` have to be there. ``limit``: seconds of the guest. Raises GuestBroken."""
    text = _output(agent, [GUEST_PATH, *words], limit).text
    pairs = dict(pair for pair in map(str.split, text.splitlines()) if len(pair) == 2)
    said: dict[str, int] = {}
    for name in names:
        try:
            said[name] = int(pairs[name], 0)
        except (KeyError, ValueError):
            found = f"{name} {pairs[name]}" if name in pairs else text[-200:]
            raise GuestBroken(
                f"jb-jump {words[0]}: a line of {name!r} and a number was expected, found {found!r}"
            ) from None
    return said


def _output(agent: Agent, words: list[str], limit: float = 60) -> CommandResult:
    done = agent.run(f"exec {shlex.join(words)}", timeout=limit)
    if not done.good:
        how = f"exit status {done.exit}" if done.signal is None else f"signal {done.signal}"
        raise GuestBroken(f"jb-jump {words[1]}: {how}: {done.text[-400:].strip()}")
    return done
