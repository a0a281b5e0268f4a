# SPDX-License-Identifier: GPL-2.0-or-later
"""From a scenario and its options to a verdict, a run folder and its reports.

The one place where exceptions become verdicts, so that a dead kernel, a dead rig and a failed
proof can never be taken for each other.
"""

from __future__ import annotations

import random
import resource
import shlex
import shutil
import subprocess
import time
import traceback
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import kernel
import kernel.selection
from harness import known
from harness.context import RunContext, RunOptions
from harness.errors import InfraError, UsageError
from harness.guest_image import build_guest
from harness.machine.accelerator import choose_accelerator
from harness.paths import TREE, runs_folder
from harness.progress import Progress
from harness.judging import DEATHS, judge
from harness.results import KernelInfo, RunResult
from harness.scenario import Scenario
from harness.symbols import Symbols
from harness.verdict import Verdict
from reports import html, json_report


def run_scenario(
    scenario: Scenario, options: RunOptions, chosen: Mapping[str, Any], progress: Progress
) -> RunResult:
    """Runs ``scenario`` and leaves result.json and report.html in the run folder.

    Raises UsageError for wrong options only; whatever else goes wrong is a verdict.
    """
    ours = options.out is None or not options.out.exists()
    folder = _new_run_folder(options.out, scenario.name)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    result = RunResult(
        scenario=scenario.name,
        verdict=Verdict.INFRA,
        reason="not finished",
        command=reproduce_command(scenario, options, chosen, seed),
        folder=folder,
        kernel=None,
        engine="qemu",
        accelerator="",
        accelerator_reason="",
        options={key: str(value) for key, value in chosen.items() if value not in ("", None, 0)},
        seed=seed,
        started_at=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )
    result.options.update(memory=str(options.memory_mib), cpus=str(options.cpus))
    began = time.monotonic()
    run = _Run(scenario, options, chosen, progress, result, seed)
    wrong_usage = False
    try:
        run.play()
    except UsageError:
        wrong_usage = True
        raise
    except KeyboardInterrupt:
        result.reason = "interrupted"
        raise
    except DEATHS as error:
        judge(result, run.known, error, own_kernel=run.own_kernel)
    except Exception as error:  # a bug of the rig: never blamed on the kernel
        trace = traceback.format_exc()
        (folder / "traceback.txt").write_text(trace)
        note = f"bug in the rig: {type(error).__name__}: {error} (see traceback.txt)"
        judge(result, run.known, InfraError(note), own_kernel=run.own_kernel)
    else:
        judge(result, run.known, None, own_kernel=run.own_kernel)
        if chosen.get("tamper") and result.verdict is Verdict.PASS:
            result.verdict = Verdict.XPASS
            result.reason = f"the fault {chosen['tamper']} was put in, and nothing found it"
    finally:
        progress.done()
        if not wrong_usage:
            _leave(result, began)
        elif ours:
            shutil.rmtree(folder, ignore_errors=True)  # nothing was run: nothing is to be kept
    return result


def _leave(result: RunResult, began: float) -> None:
    """What the run folder must hold whatever happened. ``began``: monotonic."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    result.seconds = time.monotonic() - began
    result.properties["rig_peak_rss_kib"] = str(usage.ru_maxrss)
    json_report.write(result, result.folder / "result.json")
    html.write(result, result.folder / "report.html")
    _point_latest_at(result.folder)


class _Run:
    """One run, and what is known of its kernel as soon as there is one."""

    def __init__(
        self,
        scenario: Scenario,
        options: RunOptions,
        chosen: Mapping[str, Any],
        progress: Progress,
        result: RunResult,
        seed: int,
    ) -> None:
        self._scenario = scenario
        self._options = options
        self._chosen = chosen
        self._progress = progress
        self._result = result
        self._seed = seed
        self.known = known.Applied()
        self.own_kernel = kernel.selection.is_path(options.kernel)

    def play(self) -> None:
        options, result, progress = self._options, self._result, self._progress
        accelerator, reason = choose_accelerator(options.accel)
        result.accelerator, result.accelerator_reason = accelerator, reason
        tested = kernel.resolve(options.kernel, options.arch, progress=progress)
        result.kernel = KernelInfo(options.kernel, tested.release, tested.arch, str(tested.bzimage))
        result.properties.update(_tool_versions())
        if not options.strict:
            self.known = known.applied(
                release=tested.release,
                arch=tested.arch,
                fixed=tested.fixed,
                scenario=self._scenario.name,
                chosen=self._chosen,
            )
        for warning in tested.warnings:
            progress.note(f"    warning: {warning}")
        guest = build_guest(tested.arch, progress=progress)
        context = RunContext(
            options=options,
            kernel=tested,
            symbols=Symbols(tested.vmlinux),
            guest=guest,
            accelerator=accelerator,
            folder=result.folder,
            result=result,
            progress=progress,
            random=random.Random(self._seed),
        )
        self._scenario.run(context, self._chosen)


def reproduce_command(
    scenario: Scenario, options: RunOptions, chosen: Mapping[str, Any], seed: int
) -> str:
    """The one command that repeats this run; only what differs from the defaults is named."""
    words = ["./jumpback", "run", scenario.name]
    default = RunOptions()
    # A path must mean the same from wherever the command is repeated.
    spec = options.kernel
    if kernel.selection.is_path(spec):
        spec = str(Path(spec).expanduser().resolve())
    common = {
        "kernel": (spec, default.kernel),
        "arch": (options.arch, default.arch),
        "memory": (options.memory_mib, default.memory_mib),
        "cpus": (options.cpus, default.cpus),
        "accel": (options.accel, default.accel),
        "append": (options.append, default.append),
        "time-scale": (options.time_scale, default.time_scale),
    }
    for name, (value, usual) in common.items():
        if value != usual:
            words += [f"--{name}", str(value)]
    words += ["--strict"] if options.strict else []
    for option in scenario.options:
        value = chosen[option.key]
        if value != option.default:
            words += [f"--{option.name}"] if value is True else [f"--{option.name}", str(value)]
    words += ["--seed", str(seed)]
    return shlex.join(words)


def _new_run_folder(out: Path | None, scenario: str) -> Path:
    """A folder of this run's own; parallel runs never share one."""
    if out is not None:
        if out.exists() and any(out.iterdir()):
            raise UsageError(f"{out} is not empty (an earlier run?); choose another --out")
        out.mkdir(parents=True, exist_ok=True)
        return out.resolve()
    parent = runs_folder()
    parent.mkdir(parents=True, exist_ok=True)
    stamp = datetime.now().strftime("%Y%m%d-%H%M%S")
    for suffix in range(1000):
        name = f"{stamp}-{scenario}" + (f"-{suffix}" if suffix else "")
        try:
            (parent / name).mkdir()
            return (parent / name).resolve()
        except FileExistsError:
            continue
    raise InfraError(f"no free run folder name for {stamp}-{scenario} in {parent}")


def _point_latest_at(folder: Path) -> None:
    """runs/latest → the newest run. Only a convenience: losing a race to it is fine."""
    if folder.parent != runs_folder().resolve():
        return
    link = folder.parent / "latest"
    temporary = folder.parent / f".latest-{folder.name}"
    try:
        temporary.symlink_to(folder.name)
        temporary.replace(link)
    except OSError:
        temporary.unlink(missing_ok=True)


def _tool_versions() -> dict[str, str]:
    """What a report must name so that a difference between two runs can be explained."""
    versions: dict[str, str] = {}
    commands = {
        "qemu": ["qemu-system-x86_64", "--version"],
        "jumpback": ["git", "-C", str(TREE), "describe", "--always", "--dirty"],
    }
    for name, argv in commands.items():
        answer = subprocess.run(argv, capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout:
            versions[name] = answer.stdout.splitlines()[0].strip()
    return versions
