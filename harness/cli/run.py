# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback run SCENARIO``: one subcommand a scenario, made from the options it declares."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from harness.context import RunOptions
from harness.progress import Progress
from harness.results import RunResult
from harness.runner import run_scenario
from harness.scenario import Scenario, ScenarioOption, all_scenarios
from harness.verdict import ExitStyle, exit_code

_COMMON: list[click.Option] = [
    click.Option(
        ["--kernel"],
        default="6.1",
        show_default=True,
        metavar="VERSION|PATH",
        help="Of the catalogue, a kernel build tree, or a folder with bzImage and vmlinux.",
    ),
    click.Option(
        ["--arch"], type=click.Choice(["x86_64", "i386"]), default="x86_64", show_default=True
    ),
    click.Option(
        ["--memory"],
        type=click.IntRange(min=64, max=16384),
        default=256,
        show_default=True,
        metavar="MIB",
    ),
    click.Option(
        ["--cpus"], type=click.IntRange(min=1, max=8), default=1, show_default=True, metavar="N"
    ),
    click.Option(
        ["--accel"],
        type=click.Choice(["auto", "tcg", "kvm"]),
        default="auto",
        show_default=True,
        help="Who executes guest instructions; auto probes /dev/kvm by running code.",
    ),
    click.Option(
        ["--seed"], type=int, help="Repeats the nonces and random choices of an earlier run."
    ),
    click.Option(
        ["--append"],
        default="",
        metavar="TEXT",
        help="Added to the kernel command line of every life.",
    ),
    click.Option(
        ["--time-scale"],
        type=click.FloatRange(min=0.1),
        default=1.0,
        show_default=True,
        help="Multiplies every stage's time limit (debug kernels, slow hosts).",
    ),
    click.Option(
        ["--strict"], is_flag=True, help="Known defects count as failures: for bisecting one."
    ),
    click.Option(["--keep"], is_flag=True, help="Keep disks and captures of a good run, too."),
    click.Option(
        ["--out"],
        type=click.Path(file_okay=False, path_type=Path),
        help="Run folder; default: a new one under ~/.local/state/jumpback/runs.",
    ),
    click.Option(
        ["--json"], is_flag=True, help="The result as one JSON document on stdout; logs on stderr."
    ),
    click.Option(["--ktap"], is_flag=True, help="The result as KTAP on stdout."),
    click.Option(
        ["--junit"],
        type=click.Path(dir_okay=False, path_type=Path),
        help="Write the result as JUnit XML to this file, too.",
    ),
    click.Option(
        ["--exit-style"],
        type=click.Choice([style.value for style in ExitStyle]),
        default=ExitStyle.PLAIN.value,
        show_default=True,
        help="Who reads the exit code: a shell, kselftest, or git bisect run.",
    ),
    click.Option(["--quiet"], is_flag=True, help="No progress on stderr."),
]


def default_options() -> dict[str, Any]:
    """What `jumpback run SCENARIO` without options hands to ``run_and_print``."""
    return {str(option.name): option.default for option in _COMMON}


def _click_option(option: ScenarioOption) -> click.Option:
    kind: Any
    if option.choices:
        kind = click.Choice(list(option.choices))
    elif isinstance(option.default, bool):
        return click.Option([f"--{option.name}"], is_flag=True, help=option.help)
    elif isinstance(option.default, int):
        kind = click.IntRange(min=option.minimum)
    else:
        kind = str
    return click.Option(
        [f"--{option.name}"],
        type=kind,
        default=option.default,
        show_default=option.default not in ("", None),
        help=option.help,
        metavar=option.metavar,
    )


def _command_for(scenario: Scenario) -> click.Command:
    own = [_click_option(option) for option in scenario.options]

    def invoke(**values: Any) -> None:
        chosen = {option.key: values.pop(option.key) for option in scenario.options}
        sys.exit(run_and_print(scenario, chosen, values))

    return click.Command(
        scenario.name,
        callback=invoke,
        params=[*own, *_COMMON],
        help=scenario.description,
        short_help=scenario.summary,
    )


def run_and_print(scenario: Scenario, chosen: Mapping[str, Any], common: Mapping[str, Any]) -> int:
    """Runs, prints the result in the form asked for, and returns the exit code."""
    if common["json"] and common["ktap"]:
        raise click.UsageError("--json and --ktap both want stdout: choose one")
    options = RunOptions(
        kernel=common["kernel"],
        arch=common["arch"],
        memory_mib=common["memory"],
        cpus=common["cpus"],
        accel=common["accel"],
        seed=common["seed"],
        append=common["append"],
        time_scale=common["time_scale"],
        strict=common["strict"],
        keep=common["keep"],
        out=common["out"],
    )
    with Progress(quiet=common["quiet"]) as progress:
        result = run_scenario(scenario, options, chosen, progress)
    print_result(result, as_json=common["json"], as_ktap=common["ktap"])
    if common["junit"] is not None:
        from reports import junit

        junit.write(result, common["junit"])
    style = ExitStyle(common["exit_style"])
    return exit_code(result.verdict, style, target_reached=result.target_reached)


def print_result(result: RunResult, *, as_json: bool, as_ktap: bool) -> None:
    if as_json:
        from reports import json_report

        print(json_report.dumps(result))
    elif as_ktap:
        from reports import ktap

        print(ktap.render(result), end="")
    else:
        from reports import text

        text.print_result(result)


class _ScenarioGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return [scenario.name for scenario in all_scenarios()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for scenario in all_scenarios():
            if scenario.name == cmd_name:
                return _command_for(scenario)
        return None


@click.group("run", cls=_ScenarioGroup)
def run_group() -> None:
    """Run one scenario on a real kernel and prove its result from outside.

    \b
    jumpback run hibernate-disk --kernel 6.1 --cycles 20 --cpus 2 --json
    jumpback run hibernate-disk --kernel ~/src/linux --exit-style bisect
    jumpback run hibernate-disk --tamper image-byte      the rig must end FAIL

    `jumpback run SCENARIO --help` shows all options of a scenario.
    """
