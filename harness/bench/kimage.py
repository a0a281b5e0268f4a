# SPDX-License-Identifier: GPL-2.0-or-later
"""Building and reading page lists (model/kimage/bench): figures, and the plot of how they grow."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.bench import native
from harness.bench.figures import Aim, Figure
from harness.errors import UsageError

TARGET = "jumpback_kimage_bench"
_GIB = 262144  # pages
_LABELS = {
    "hashed": "map from destination to entry (multi-stage patch)",
    "linear": "walk of the list for each page (kimage_dst_used)",
}
_FRAMES = {
    "apart": "no frame is a destination",
    "average": "frames from all of RAM, in random order",
    "worst": "each frame is the destination before it",
}
# Frames in random order are looked up at random places of the map: at 16 GiB in memory, at 1 GiB
# in the caches.
_GROWTH = {"apart": 2.0, "average": 5.0, "worst": 2.0}


@dataclass(frozen=True)
class Point:
    """One build of a page list."""

    pages: int
    seconds: float


Series = dict[tuple[str, str], list[Point]]  # (lookup, frames): points by size


def builds(seconds: float) -> Series:
    """Measures the growth of both lookups."""
    series: Series = defaultdict(list)
    for record in native.run(TARGET, "^list_build/", seconds):
        _, lookup, frames = record["name"].split("/")[:3]
        series[lookup, frames].append(Point(int(record["pages"]), float(record["seconds"])))
    for points in series.values():
        points.sort(key=lambda point: point.pages)
    return dict(series)


def growth(series: Series) -> list[Figure]:
    """Cost of a page at 16 GiB against 1 GiB: 1 is linear."""
    figures = []
    for frames, what in _FRAMES.items():
        by_size = {point.pages: point for point in series["hashed", frames]}
        small, large = by_size[_GIB], by_size[16 * _GIB]
        figures.append(
            Figure(
                f"page list of a 16 GiB image, hashed, {what}",
                f"{large.seconds:.2f} s, {large.seconds / large.pages * 1e9:.0f} ns a page",
                (large.seconds / large.pages) / (small.seconds / small.pages),
                "the cost of a page at 1 GiB",
                Aim.AT_MOST,
                _GROWTH[frames],
                "1: linear in pages; the map grows out of the caches",
            )
        )
    return figures


@dataclass(frozen=True)
class _Bound:
    """What a way of reading a list is held against: the least that its work takes."""

    counter: str
    reference: str
    at_least: float


# By what is done with the moves, and in which order their sources come.
_BOUNDS = {
    ("check", "rising"): _Bound("of_read", "adding up the same words", 0.8),
    ("check", "scattered"): _Bound("of_mark", "marking each word's frame in a bitmap", 0.6),
    ("moves", "rising"): _Bound("of_read_write", "writing a move for each word, unchecked", 0.6),
    ("moves", "scattered"): _Bound("of_read_write", "writing a move for each word, unchecked", 0.5),
}


def reading(seconds: float) -> list[Figure]:
    """Decoding a 16 GiB image's list against plain loops over the memory that it stands in."""
    return decoding_figures(native.run(TARGET, "^list_decode/", seconds))


def decoding_figures(records: Sequence[Mapping[str, Any]]) -> list[Figure]:
    figures = []
    for record in records:
        _, what, how = record["name"].split("/")[:3]
        bound = _BOUNDS[what, how]
        figures.append(
            Figure(
                f"read a list of 4 Mi pages, {what}, sources {how}",
                f"{float(record['bytes_per_second']) / 1e9:.2f} GB/s of list",
                float(record[bound.counter]),
                bound.reference,
                Aim.AT_LEAST,
                bound.at_least,
                f"memory bandwidth, as a plain read reaches it: {float(record['of_read']):.0%}",
            )
        )
    return figures


def _size(gib: float) -> str:
    return f"{gib:g} GiB" if gib >= 1 else f"{gib * 1024:g} MiB"


def plot(series: Series, path: Path) -> None:
    """Seconds over image size, both axes logarithmic. The suffix of ``path`` names the format."""
    try:
        import matplotlib
    except ImportError as error:
        raise UsageError("--plot needs matplotlib: apt-get install python3-matplotlib") from error
    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "jumpback"  # the same numbers give the same file
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(9, 6))
    styles = {"apart": ":", "average": "--", "worst": "-"}
    colours = {"hashed": "#1a7f4b", "linear": "#c0142b"}
    for (lookup, frames), points in sorted(series.items()):
        axes.plot(
            [point.pages / _GIB for point in points],
            [point.seconds for point in points],
            styles[frames],
            color=colours[lookup],
            marker="o",
            markersize=4,
            label=f"{_LABELS[lookup]}: {_FRAMES[frames]}",
        )
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks([2.0**power for power in range(-7, 5)])
    axes.xaxis.set_major_formatter(lambda gib, _: _size(gib))
    axes.yaxis.set_major_formatter(lambda seconds, _: f"{seconds:g} s")
    axes.set_xlabel("image")
    axes.set_ylabel("CPU seconds to build its page list")
    axes.grid(True, which="major", alpha=0.3)
    axes.legend(fontsize=7, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
