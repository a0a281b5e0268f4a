# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback test``: every check of this tree, in the order that finds trouble soonest.

Each step runs the tool that a developer would run by hand and shows the command, so that a red
step can be repeated alone. The run ends with the runners' own summary lines.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import click

import kernel
from harness.paths import TREE

JOBS = str(os.cpu_count() or 1)
# The closing lines of ctest and pytest: repeated at the end, word for word.
_SUMMARY = re.compile(r"^(\d+% tests passed.*|(=+ )?\d+ (passed|failed|error|skipped)\b.* in .*)$")


@dataclass
class Outcome:
    step: str
    passed: bool
    seconds: float
    summaries: list[str] = field(default_factory=list)


class StepFailed(Exception):
    pass


class Shell:
    """Runs commands with their output shown, and keeps the runners' summary lines.

    ``everything``: what is too long for every run, too.
    """

    def __init__(self, everything: bool = False) -> None:
        self.everything = everything
        self.summaries: list[str] = []

    def run(self, *argv: str, env: dict[str, str] | None = None, quiet: bool = False) -> None:
        """``quiet``: output is shown only if the command fails."""
        print(f"  $ {shlex.join(_shorten(argv))}", flush=True)
        environment = dict(os.environ)
        environment.update(env or {})
        process = subprocess.Popen(
            argv, cwd=TREE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        assert process.stdout is not None
        held: list[str] = []
        try:
            for raw in process.stdout:
                line = raw.decode(errors="replace").rstrip("\n")
                if _SUMMARY.match(line.strip()):
                    self.summaries.append(line.strip())
                    if quiet:
                        print(line, flush=True)
                if quiet:
                    held.append(line)
                else:
                    print(line, flush=True)
            status = process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
            raise
        if status != 0:
            for line in held[-80:]:
                print(line)
            raise StepFailed(f"{argv[0]} ended with status {status}")


def _shorten(argv: Sequence[str]) -> Sequence[str]:
    """Long file lists would drown the command."""
    argv = [word.split("\n")[0] + (" …" if "\n" in word else "") for word in argv]
    return argv if len(argv) <= 24 else [*argv[:12], f"… {len(argv) - 12} more"]


def _files(*patterns: str) -> list[str]:
    """Files of the tree: what git tracks, or, without git, what lies there outside build/."""
    listing = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=TREE, capture_output=True, text=True
    )
    if listing.returncode == 0 and listing.stdout:
        return [name for name in listing.stdout.split("\n") if name and (TREE / name).exists()]
    found: list[str] = []
    for pattern in patterns:
        for path in TREE.rglob(pattern.replace("**/", "")):
            relative = path.relative_to(TREE)
            if relative.parts[0] not in ("build", ".git"):
                found.append(str(relative))
    return sorted(found)


def lint(shell: Shell) -> None:
    shell.run("clang-format", "--dry-run", "-Werror", *_files("*.cpp", "*.h", "*.c"))
    shell.run("/usr/bin/black", "--check", "--quiet", "harness", "kernel", "reports", "scenarios")
    shell.run("/usr/bin/flake8", "harness", "kernel", "reports", "scenarios")
    shell.run("/usr/bin/mypy")
    scripts = ["jumpback", ".ci/run", *_files("*.sh")]
    shell.run("shellcheck", *scripts)


def tidy(shell: Shell) -> None:
    shell.run("cmake", "--preset", "release", quiet=True)
    sources = [
        name
        for name in _files("model/*.cpp", "vm/*.cpp")
        # Tests and benches are macro soup, bindings are pybind11's templates: the warnings there
        # are about the libraries. The sources they exercise are all looked at.
        if not re.search(r"/(tests|bench|fuzz|bindings|python)/", name)
    ]
    # One process a file, as many as there are cores; xargs fails if any of them does.
    listing = "\n".join(sources)
    script = f"xargs -P {JOBS} -n 1 clang-tidy --quiet -p build/release 2>/dev/null"
    shell.run("bash", "-c", f"{script} <<'LIST'\n{listing}\nLIST")


def _native(shell: Shell, preset: str) -> None:
    shell.run("cmake", "--preset", preset, quiet=True)
    shell.run("cmake", "--build", "--preset", preset, quiet=True)
    shell.run("ctest", "--preset", preset, "-j", JOBS, quiet=True)


def native_release(shell: Shell) -> None:
    _native(shell, "release")


def native_sanitized(shell: Shell) -> None:
    _native(shell, "asan-ubsan")


def unit(shell: Shell) -> None:
    what = "not boots and not kernels and not full"
    shell.run("/usr/bin/python3", "-m", "pytest", "-q", "-n", JOBS, "-m", what)


# What the tests run on. Variants and stock kernels cost a fraction of their base: only what they
# change is compiled.
KERNELS = (
    ("6.1", "x86_64"),
    ("6.1", "i386"),
    ("6.1-stock", "x86_64"),
    ("6.1-stock", "i386"),
    ("6.12", "x86_64"),
    ("5.10", "x86_64"),
    ("7.2", "x86_64"),
    ("7.3", "x86_64"),
    ("7.2+preserve-flag-lost", "x86_64"),
    ("7.2+callee-stack-past-swap-page", "x86_64"),
    ("7.2+unwinding-label", "x86_64"),
    ("7.2+link-overwrites-last-entry", "x86_64"),
)
# Stock kernels, flavours and regressions, too.
ALL_KERNELS = tuple((row.title, row.arch) for row in (*kernel.load(), *kernel.load_variants()))


def kernels(shell: Shell) -> None:
    command = str(TREE / "jumpback")
    for version, arch in ALL_KERNELS if shell.everything else KERNELS:
        shell.run(command, "kernel", "build", version, "--arch", arch)


def boots(shell: Shell) -> None:
    what = "boots or kernels or full" if shell.everything else "(boots or kernels) and not full"
    shell.run("/usr/bin/python3", "-m", "pytest", "-q", "-n", JOBS, "-m", what)


STEPS: dict[str, Callable[[Shell], None]] = {
    "lint": lint,
    "unit": unit,
    "kernels": kernels,
    "release": native_release,
    "sanitize": native_sanitized,
    "tidy": tidy,
    "boots": boots,
}


@click.command("test")
@click.option(
    "--only",
    multiple=True,
    type=click.Choice(list(STEPS)),
    help="Run this step alone (may be given several times).",
)
@click.option("--keep-going", is_flag=True, help="Go on after a failed step.")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also every kernel of the catalogue and every test that is too long for each run.",
)
def test_command(only: tuple[str, ...], keep_going: bool, everything: bool) -> None:
    """Run the tests of this tree: linters, unit tests, sanitizers, fuzz smoke, real boots.

    \b
    Steps, in order:
      lint      clang-format, black, flake8, mypy --strict, shellcheck
      unit      pytest without kernels (includes headless Chromium)
      kernels   builds the kernels under test (from the cache if they are there)
      release   C++ build and ctest, with the bytes of these kernels
      sanitize  C++ build with ASan and UBSan, ctest, bounded fuzzing
      tidy      clang-tidy
      boots     pytest with real kernels: scenarios, red twins

    With --all, kernels builds all of them, and boots runs the tests marked full, too: the other
    versions and configurations, long runs, every regression. That takes hours, this takes minutes.
    """
    # A shell starts background jobs with SIGINT ignored, and children inherit that; tests of what
    # Ctrl-C does would then fail.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    outcomes: list[Outcome] = []
    for name in only or STEPS:
        shell = Shell(everything)
        began = time.monotonic()
        print(f"==> {name}", flush=True)
        try:
            STEPS[name](shell)
            passed = True
        except (StepFailed, FileNotFoundError) as error:
            print(f"==> {name} FAILED: {error}", flush=True)
            passed = False
        outcomes.append(Outcome(name, passed, time.monotonic() - began, shell.summaries))
        if not passed and not keep_going:
            break
    _recap(outcomes)
    if not all(outcome.passed for outcome in outcomes):
        sys.exit(1)


def _recap(outcomes: Sequence[Outcome]) -> None:
    print("==> summary", flush=True)
    for outcome in outcomes:
        verdict = "ok" if outcome.passed else "FAILED"
        print(f"  {outcome.step:<9} {verdict:<7} {outcome.seconds:6.1f} s")
    for outcome in outcomes:
        for line in outcome.summaries:
            print(line)
    sys.stdout.flush()
