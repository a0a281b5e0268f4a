# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback relocate-check``: a kernel's real relocate_kernel against the model."""

from __future__ import annotations

import json
import secrets
import sys

import click
import jumpback_relocate
from click.core import ParameterSource

from harness.progress import Progress
from harness.relocate import cases, mutants, report, subject, text
from harness.verdict import ExitStyle, Verdict, exit_code
from harness.vmlinux_choice import unfit_for


def _list_breaks(ctx: click.Context, param: click.Parameter, wanted: bool) -> None:
    if not wanted or ctx.resilient_parsing:
        return
    for fault in jumpback_relocate.breaks():
        click.echo(f"{fault['name']}: {fault['summary']}")
        click.echo(f"    must be seen at {fault['stop']}: {' or '.join(fault['items'])}")
    ctx.exit()


@click.command("relocate-check")
@click.argument("vmlinux", metavar="VMLINUX|VERSION")
@click.option(
    "--arch",
    type=click.Choice(["x86_64", "i386"]),
    default="x86_64",
    show_default=True,
    help="Of a kernel of the catalogue; a vmlinux tells it itself.",
)
@click.option(
    "--cases",
    "count",
    type=click.IntRange(min=1),
    default=1000,
    show_default=True,
    metavar="N",
    help="How many page lists are run.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**64 - 1),
    metavar="S",
    help="Repeats the cases of an earlier run; default: a random one, which is printed.",
)
@click.option(
    "--pages",
    type=click.IntRange(min=0, max=jumpback_relocate.MOST_PAGES),
    default=jumpback_relocate.MOST_PAGES,
    show_default=True,
    metavar="P",
    help="No list moves more pages than this; few lists move more than 16.",
)
@click.option(
    "--both-ways/--one-way",
    default=True,
    show_default=True,
    help="Whether the callee comes back.",
)
@click.option(
    "--case",
    type=click.IntRange(min=0, max=2**64 - 2),
    metavar="I",
    help="Lay this one case open.",
)
@click.option(
    "--break",
    "break_name",
    type=click.Choice([fault["name"] for fault in jumpback_relocate.breaks()]),
    default=None,
    metavar="NAME",
    help="Put this fault in: the check must end FAIL.",
)
@click.option(
    "--list-breaks",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_breaks,
    help="List the faults that can be put in, and exit.",
)
@click.option(
    "--mutants",
    "mutant_count",
    type=click.IntRange(min=1),
    metavar="N",
    help="Change single instructions at random, N times, and count what is noticed.",
)
@click.option("--strict", is_flag=True, help="A known defect is a failure, as for a bisection.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
@click.option(
    "--exit-style",
    type=click.Choice([style.value for style in ExitStyle]),
    default=ExitStyle.PLAIN.value,
    show_default=True,
    help="Who reads the exit code: a shell, kselftest, or git bisect run.",
)
@click.option("--quiet", is_flag=True, help="No progress on stderr.")
def relocate_check(
    vmlinux: str,
    arch: str,
    count: int,
    seed: int | None,
    pages: int,
    both_ways: bool,
    case: int | None,
    break_name: str | None,
    mutant_count: int | None,
    strict: bool,
    as_json: bool,
    exit_style: str,
    quiet: bool,
) -> None:
    """Check what a kernel's relocate_kernel does to memory and registers.

    Takes relocate_kernel out of vmlinux, runs it on an emulated CPU over many page lists, to the
    new kernel's entry and back to the caller, and compares all memory and the registers that must
    survive with the model at each of the four stops. No kernel is booted; it takes seconds. What
    differs is shrunk to the smallest list that shows it, with the instructions around the first
    wrong write.

    \b
    jumpback relocate-check 6.1 --cases 10000     a kernel of the catalogue
    jumpback relocate-check ~/src/linux           a build tree, or its vmlinux
    jumpback relocate-check 7.2 --break gdt-not-restored
    jumpback relocate-check 7.2 --mutants 500
    git bisect run sh -c 'make -j"$(nproc)" vmlinux || exit 125
        exec /path/to/jumpback relocate-check --strict --exit-style bisect .'

    Exit codes: 0 as the model says, or wrong as it is known to be (XFAIL); 1 wrong otherwise, or a
    mutant that nobody can explain; 2 no such file, or one without relocate_kernel; 3 a known defect
    of a stock kernel (6.1-stock), or a fault that was put in, did not show; 9 no such kernel in the
    catalogue. For git bisect 2 of a file and 9 are 125: skip (docs/exit-codes.md).
    """
    if mutant_count is not None:
        _refuse_beside_mutants()
    if seed is None:
        if case is not None:
            raise click.UsageError("--case needs the --seed of the run that it is a case of")
        seed = secrets.randbelow(2**32)
    style = ExitStyle(exit_style)
    with Progress(quiet=quiet) as progress, unfit_for(style):
        found = subject.find(vmlinux, arch, progress)
        if mutant_count is not None:
            verdict = _mutants(found, mutant_count, seed, as_json, progress)
        else:
            plan = cases.Plan(count, seed, pages, both_ways, break_name or "", case, strict)
            verdict = _cases(found, plan, as_json, progress)
    sys.exit(exit_code(verdict, style, target_reached=True))


def _refuse_beside_mutants() -> None:
    """Each mutant is held to cases of its own, chosen so that they take every path."""
    given = click.get_current_context().get_parameter_source
    for name in ("count", "pages", "both_ways", "case", "break_name", "strict"):
        if given(name) is ParameterSource.COMMANDLINE:
            option = {"count": "cases", "break_name": "break", "both_ways": "one-way"}
            raise click.UsageError(f"--mutants does not go with --{option.get(name, name)}")


def _cases(found: subject.Subject, plan: cases.Plan, as_json: bool, progress: Progress) -> Verdict:
    total = plan.cases if plan.case is None else 1
    progress.start(f"{total} cases of {found.name}, seed {plan.seed}", total)
    checked = cases.run(found, plan, tick=progress.update)
    progress.done()
    if as_json:
        click.echo(json.dumps(report.to_json(checked), indent=2))
    else:
        click.echo("\n".join(text.render(checked)))
    return checked.verdict


def _mutants(
    found: subject.Subject, count: int, seed: int, as_json: bool, progress: Progress
) -> Verdict:
    progress.start(f"{count} mutants of {found.name}, seed {seed}", count)
    ran = mutants.run(found, count, seed, tick=progress.update)
    progress.done()
    if as_json:
        click.echo(json.dumps(report.mutants_to_json(ran), indent=2))
    else:
        click.echo("\n".join(text.render_mutants(ran)))
    return ran.verdict
