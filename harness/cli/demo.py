# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback demo``: the main job, told as it happens."""

from __future__ import annotations

import sys

import click

from harness.cli.run import default_options, run_and_print
from harness.scenario import find_scenario


@click.command("demo")
def demo_command() -> None:
    """Hibernate a real Linux 6.1 to disk, cut its power, boot it again, resume it, and prove from
    outside that every page of its memory is what it was.

    The first run downloads and builds the kernel (about five minutes on two cores); later runs
    take seconds. The same as `jumpback run hibernate-disk --load cpu`, with the story told.
    """
    click.echo(
        "A real Linux 6.1 is going to be hibernated, switched off, booted and resumed.\n"
        "Its memory is read from outside at two moments: when the kernel takes its snapshot, and\n"
        "at the first instruction of the restored kernel. Every saved page must be the same.\n",
        err=True,
    )
    scenario = find_scenario("hibernate-disk")
    chosen = {option.key: option.default for option in scenario.options}
    chosen["load"] = "cpu"
    sys.exit(run_and_print(scenario, chosen, default_options()))
