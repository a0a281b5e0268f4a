# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback demo``: the main job, told as it happens."""

from __future__ import annotations

import sys
from typing import Any

import click

from harness.cli.run import default_options, run_and_print
from harness.scenario import find_scenario


_STORIES: tuple[tuple[str, dict[str, Any], str], ...] = (
    (
        "hibernate-disk",
        {"load": "cpu"},
        "A real Linux 6.1 is going to be hibernated, switched off, booted and resumed.\n"
        "Its memory is read from outside at two moments: when the kernel takes its snapshot, and\n"
        "at the first instruction of the restored kernel. Every saved page must be the same.\n",
    ),
    (
        "jump-kernel",
        {},
        "\nNow it loads a second kernel, jumps to it by kexec, and is jumped back to. All of its\n"
        "memory is compared at every stop with what a reference model says.\n",
    ),
)


@click.command("demo")
def demo_command() -> None:
    """Hibernate a real Linux 6.1 to disk, cut its power, boot it again and resume it; then let it
    jump to a second kernel and back. Each time prove from outside that every page of its memory is
    what it must be.

    The first run downloads and builds the kernel (about five minutes on two cores); later runs
    take seconds. The same as `jumpback run hibernate-disk --load cpu` and `jumpback run
    jump-kernel`, with the story told.
    """
    for name, options, story in _STORIES:
        click.echo(story, err=True)
        scenario = find_scenario(name)
        chosen = {option.key: option.default for option in scenario.options} | options
        status = run_and_print(scenario, chosen, default_options())
        if status != 0:
            sys.exit(status)
