# SPDX-License-Identifier: GPL-2.0-or-later
"""``jumpback bench``: how fast the rig is, as ratios measured in one run."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from harness.bench import cycle, jump, kimage, native, relocation
from harness.bench.figures import Figure
from harness.progress import Progress

PARTS = ("compare", "read", "capture", "relocate", "lists", "cycle", "memory", "snapshot", "jump")
_NATIVE = {"compare", "read", "capture", "relocate", "lists"}


@click.command("bench")
@click.option(
    "--only", multiple=True, type=click.Choice(PARTS), help="This part alone (several times)."
)
@click.option(
    "--seconds",
    type=click.FloatRange(min=0.01),
    default=0.3,
    show_default=True,
    help="Least time for each C++ benchmark.",
)
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=5,
    show_default=True,
    help="How often bare and verified runs, boots and restores take turns.",
)
@click.option(
    "--cycles",
    type=click.IntRange(min=3),
    default=20,
    show_default=True,
    help="Cycles over which the rig's memory is watched, and switches of two kernels.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Draw how the cost of building page lists grows (part lists), as SVG or PNG.",
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON document on stdout.")
def bench_command(
    only: tuple[str, ...],
    seconds: float,
    pairs: int,
    cycles: int,
    plot: Path | None,
    as_json: bool,
) -> None:
    """Measure the rig. Each number is a ratio to what a user would run instead, or to the bare
    operation, in the same run; beside it stands the physical limit.

    \b
      compare   all-RAM comparison against memcmp
      read      image reading against the bare decompressor
      capture   RAM capture against memcpy of what is resident
      relocate  the relocation model against memcpy; the rate of relocate-check
      lists     building page lists up to 16 GiB, reading them against plain reads
      cycle     a verified cycle against the bare QEMU commands
      memory    the rig's own memory over many cycles
      snapshot  a guest up to its agent's answer, restored against booted
      jump      a verified jump to another kernel and back against the bare commands; a switch

    A missed aim is shown and does not fail: hosts differ. Run it on a quiet machine.
    """
    chosen = only or PARTS
    if plot is not None and "lists" not in chosen:
        raise click.UsageError("--plot draws the part lists: leave --only out, or add --only lists")
    figures: list[Figure] = []
    with Progress() as progress:
        if set(chosen) & _NATIVE:
            progress.start("build the benchmarks", None)
            native.build()
        for part in PARTS:
            if part not in chosen:
                continue
            progress.start(f"bench {part}", None)
            if part == "compare":
                figures += native.comparison(seconds)
            elif part == "read":
                figures += native.reading(seconds)
            elif part == "capture":
                figures += native.capturing(seconds)
            elif part == "relocate":
                figures += relocation.moving(seconds) + relocation.checking(seconds)
            elif part == "lists":
                series = kimage.builds(seconds)
                figures += kimage.growth(series) + kimage.reading(seconds)
                if plot is not None:
                    kimage.plot(series, plot)
            elif part == "cycle":
                figures.append(cycle.verified_cycle(pairs, 256, progress.note))
            elif part == "memory":
                figures.append(cycle.flat_memory(cycles))
            elif part == "snapshot":
                figures += jump.snapshot(pairs, 256, progress.note)
            else:
                figures += jump.round_trip(pairs, 256, progress.note)
                figures.append(jump.switching(cycles, 256))
        progress.done()
    if as_json:
        rows = [{**asdict(f), "aim": f.aim.value, "reached": f.reached} for f in figures]
        click.echo(json.dumps({"schema": "jumpback.bench/1", "figures": rows}, indent=2))
        return
    for figure in figures:
        mark = "ok  " if figure.reached else "MISS"
        click.echo(
            f"{mark} {figure.name}: {figure.measured}, {figure.ratio:.2f} of {figure.baseline} "
            f"(aim {figure.aim.value} {figure.target})"
        )
        click.echo(f"       limit: {figure.limit}")
    sys.stdout.flush()
