# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs make: its lines go to a log and move the progress, and no child outlives us."""

from __future__ import annotations

import collections
import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from kernel.errors import KernelBuildError, KernelError
from kernel.progress import Progress

TAIL_LINES = 25
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_GRACE = 5.0  # seconds between SIGTERM and SIGKILL
_libc = ctypes.CDLL(None)

# What a build needs → the Debian package that has it: a command, or a header by its full path.
TOOLS = {
    "gcc": "gcc",
    "ld": "binutils",
    "make": "make",
    "flex": "flex",
    "bison": "bison",
    "bc": "bc",
    "lz4": "lz4",
    "xz": "xz-utils",
    "patch": "patch",
    "/usr/include/elf.h": "libc6-dev",
    "/usr/include/gelf.h": "libelf-dev",  # objtool, on x86_64
}


def check_tools() -> None:
    """Raises KernelError naming every package that is missing, before anything is downloaded."""
    missing = {
        package
        for tool, package in TOOLS.items()
        if not (Path(tool).is_file() if tool.startswith("/") else shutil.which(tool))
    }
    if missing:
        raise KernelError(
            "to build a kernel this machine lacks some tools: apt-get install "
            + " ".join(sorted(missing))
        )


def compiler_version() -> str:
    """One line that changes when the tools change that decide the kernel's bytes."""
    lines = []
    for tool in ("gcc", "ld"):
        try:
            done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=True)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise KernelError(f"{tool} does not run: apt-get install {TOOLS[tool]}") from error
        lines.append(done.stdout.splitlines()[0])
    return "; ".join(lines)


def run_make(
    arguments: Sequence[str],
    log: IO[str],
    environment: dict[str, str],
    what: str,
    progress: Progress | None = None,
) -> int:
    """Runs `make ARGUMENTS`, appends all it says to ``log``; returns the number of steps it did.

    A step is one of kbuild's short lines ("  CC      init/main.o"). On any exception, Ctrl-C
    among them, the whole process group is ended first. Raises KernelBuildError with the log's tail.
    """
    tail: collections.deque[str] = collections.deque(maxlen=TAIL_LINES)
    steps = 0
    log.write(f"$ make {' '.join(arguments)}\n")
    log.flush()
    with subprocess.Popen(
        ["make", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
        start_new_session=True,
        preexec_fn=_die_with_parent,
    ) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                log.write(line)
                tail.append(line.rstrip())
                if line.startswith("  ") and progress is not None:
                    steps += 1
                    progress.update(steps, line.strip())
            status = process.wait()
        except BaseException:
            _end_group(process)
            raise
    log.flush()
    if status != 0:
        raise KernelBuildError(
            f"{what}: make failed with status {status}", Path(log.name), list(tail)
        )
    return steps


def _die_with_parent() -> None:
    """SIGTERM when we are killed by what cannot be caught; make then ends its own children."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        pass
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
