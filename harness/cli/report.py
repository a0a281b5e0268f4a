# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback report``: earlier runs again, in any format."""

from __future__ import annotations

from pathlib import Path

import click

from harness.paths import runs_folder
from reports import history


class _ReportGroup(click.Group):
    """`jumpback report latest` is `jumpback report show latest`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in self.commands:
            args = ["show", *args]
        return super().resolve_command(ctx, args)


_RUNS = click.option(
    "--runs",
    type=click.Path(file_okay=False, path_type=Path),
    default=None,
    help="The folder of run folders; default: ~/.local/state/jumpback/runs.",
)


@click.group("report", cls=_ReportGroup, invoke_without_command=True)
@click.pass_context
def report_group(ctx: click.Context) -> None:
    """Show earlier runs again.

    \b
    jumpback report                             the runs, newest first
    jumpback report latest                      the newest one, as text
    jumpback report latest --format ktap        … as KTAP (json, junit, html too)
    jumpback report RUN --format html -o x.html RUN: a folder's path, its name, or its start
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_command, runs=None, most=20)


@report_group.command("list")
@_RUNS
@click.option("--most", "-n", type=click.IntRange(min=1), default=20, show_default=True)
def list_command(runs: Path | None, most: int) -> None:
    """List the runs, newest first."""
    folder = runs or runs_folder()
    found = history.list_runs(folder)
    if not found:
        click.echo(f"no runs in {folder}; `jumpback run` makes them")
        return
    click.echo(history.render_list(found[:most]), nl=False)
    if len(found) > most:
        click.echo(f"… and {len(found) - most} older; --most shows more")


@report_group.command("show")
@click.argument("run")
@_RUNS
@click.option(
    "--format",
    "form",
    type=click.Choice([form.value for form in history.Format]),
    default=history.Format.TEXT.value,
    show_default=True,
)
@click.option("--output", "-o", type=click.Path(dir_okay=False, path_type=Path))
def show_command(run: str, runs: Path | None, form: str, output: Path | None) -> None:
    """Show RUN: `latest`, a run folder's path, its name, or the start of its name."""
    text = history.render(history.load_run(runs or runs_folder(), run), history.Format(form))
    if output is None:
        click.echo(text, nl=not text.endswith("\n"))
    else:
        output.write_text(text)
        click.echo(f"wrote {output}", err=True)
