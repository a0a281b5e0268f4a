# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback list``: what can be run."""

from __future__ import annotations

import click

from harness.known import KNOWN
from harness.scenario import all_scenarios


@click.command("list")
def list_command() -> None:
    """List the scenarios, the options of each, the tampers that turn a run red, known defects."""
    for scenario in all_scenarios():
        click.echo(f"{scenario.name}: {scenario.summary}")
        for option in scenario.options:
            choices = f" ({'|'.join(option.choices)})" if option.choices else ""
            values = f" {option.metavar}" if option.metavar else choices
            default = "" if option.default in ("", None, False) else f" [{option.default}]"
            click.echo(f"    --{option.name}{values}{default}  {option.help}")
        if scenario.tampers:
            click.echo("  --tamper NAME: a fault that the rig puts in, and must find")
            width = max(map(len, scenario.tampers))
            for name, tamper in scenario.tampers.items():
                click.echo(f"    {name:<{width}}  {tamper.summary} -> {tamper.expect}")
        met = [defect.id for defect in KNOWN if scenario.name in defect.scenarios]
        if met:
            click.echo(f"  runs into: {', '.join(met)}")
        click.echo()
    click.echo(
        "Known defects of kernels: a run that shows one is XFAIL, one that should and does not"
    )
    click.echo("is XPASS (docs/exit-codes.md)")
    for defect in KNOWN:
        stands = "; ".join(f"{arch} {stand}" for arch, stand in defect.stands.items())
        click.echo(f"    {defect.id}: {defect.summary}")
        click.echo(f"        {stands}: {defect.page}")
    click.echo()
    click.echo("relocate-check has faults of its own: jumpback relocate-check --list-breaks")
