# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback list``: what can be run."""

from __future__ import annotations

import click

from harness.faults.tamper import TAMPERS
from harness.scenario import all_scenarios


@click.command("list")
def list_command() -> None:
    """List the scenarios, the options of each, and the tampers that turn a run red."""
    for scenario in all_scenarios():
        click.echo(f"{scenario.name}: {scenario.summary}")
        for option in scenario.options:
            values = f" ({'|'.join(option.choices)})" if option.choices else ""
            default = "" if option.default in ("", None, False) else f" [{option.default}]"
            click.echo(f"    --{option.name}{values}{default}  {option.help}")
    click.echo("\ntampers (--tamper NAME): a fault that the rig puts in, and must find")
    for name, tamper in TAMPERS.items():
        click.echo(f"    {name:<16} {tamper.summary} -> {tamper.expect}")
