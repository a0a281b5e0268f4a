# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's kexec-tools in both kernels, instead of our own loader: what its users get.

It does less: below 1 MiB nothing changes owner in its jump, and B's RAM is whatever B's command
line says (docs/findings/kexec-tools-low-memory.md).
"""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

from harness.agent import Agent
from harness.agent_state import CommandResult
from harness.errors import GuestBroken, UsageError
from harness.guest_image import GuestFile
from harness.guest_program import GuestImageError
from harness.jump.debian_tree import LOADER, debian_tree, library_folders
from harness.jump.loader import INITRD_PATH, KERNEL_PATH, Loaded, Window
from kernel.progress import Progress

KEXEC_TOOLS = "kexec-tools"
_PROGRAM = "/sbin/kexec"
# Debian builds the one for amd64 with Xen's control library.
_PACKAGES = {
    "x86_64": (
        "kexec-tools libc6 libxenmisc4.17 libxencall1 libxendevicemodel1 libxenevtchn1 "
        "libxenforeignmemory1 libxengnttab1 libxentoollog1 libxentoolcore1"
    ).split(),
    "i386": ["kexec-tools", "libc6"],
}
# kexec-tools puts elfcorehdr= at the window's end and tells B of it, but not to keep away from it:
# with all of the window for its RAM, B's memblock takes that page and there is no /proc/vmcore.
_ABOVE = 1 << 20
_NEEDED = re.compile(r"\(NEEDED\)\s+Shared library: \[(.+)\]")
_ENTRY = re.compile(r"\bkexec_jump_back_entry=(0x[0-9a-f]+)")


def kexec_tools_files(arch: str, progress: Progress | None = None) -> dict[str, GuestFile]:
    """The program, its dynamic loader and its libraries, by their paths in the guest. Raises
    GuestImageError."""
    tree = debian_tree(_PACKAGES[arch], arch, progress)
    files = {
        _PROGRAM: GuestFile(tree / _PROGRAM[1:], 0o755),
        f"/{LOADER[arch]}": GuestFile(tree / LOADER[arch], 0o755),
    }
    folders = [tree / folder for folder in library_folders(arch)]
    wanted = _needed(tree / _PROGRAM[1:])
    while wanted:
        name = wanted.pop()
        path = next((folder / name for folder in folders if (folder / name).exists()), None)
        if path is None:
            raise GuestImageError(f"kexec-tools for {arch}: no package of its list has {name}")
        place = f"/{library_folders(arch)[0]}/{name}"
        if place not in files and f"/{LOADER[arch]}".rpartition("/")[2] != name:
            files[place] = GuestFile(path.resolve(), 0o755)
            wanted += _needed(path)
    return files


def _needed(path: Path) -> list[str]:
    done = subprocess.run(["readelf", "-dW", str(path)], capture_output=True, text=True)
    if done.returncode != 0:
        raise GuestImageError(f"{path}: readelf: {done.stderr.strip()}")
    return _NEEDED.findall(done.stdout)


def load_with_kexec_tools(agent: Agent, window: Window, command_line: str) -> Loaded:
    """In A. ``-c``: the system call that can preserve the context. Without its check of all that
    it has loaded, which takes the guest seconds. Raises GuestBroken."""
    if window.first != 0x100000:
        raise UsageError(
            f"--mem-min {window.first:#x}: B has all RAM from 0 on (mem=) when kexec-tools loads "
            "it, so it has to be 0x100000"
        )
    words = ["-c", "--load-preserve-context", KERNEL_PATH, f"--initrd={INITRD_PATH}"]
    words += [f"--mem-min={window.first:#x}", f"--mem-max={window.last:#x}", "--no-checks"]
    words += ["--elf64-core-headers", f"--append={command_line} mem={window.last + 1 - _ABOVE:#x}"]
    _kexec(agent, words)
    return Loaded(entry=0, kernel=0, word=0)


def way_back_with_kexec_tools(agent: Agent) -> int:
    """In B: to where its command line says. Returns that entry."""
    found = _ENTRY.search(agent.run("cat /proc/cmdline").text)
    if found is None:
        raise GuestBroken("B's command line has no kexec_jump_back_entry=")
    _kexec(agent, ["-c", "--load-jump-back-helper", f"--entry={found[1]}"])
    return int(found[1], 16)


def _kexec(agent: Agent, words: list[str]) -> CommandResult:
    done = agent.run(f"exec {shlex.join([_PROGRAM, *words])}", timeout=60)
    if not done.good:
        how = f"exit status {done.exit}" if done.signal is None else f"signal {done.signal}"
        raise GuestBroken(f"kexec {words[1]}: {how}: {done.text[-400:].strip()}")
    return done
