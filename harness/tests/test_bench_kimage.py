# SPDX-License-Identifier: GPL-2.0-or-later
"""Figures and plot of page-list building, from made-up measurements."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from harness.bench.kimage import Point, Series, decoding_figures, growth, plot

GIB = 262144


def series(cost_at_16_gib: float = 16e-3) -> Series:
    sizes = {GIB: 1e-3, 4 * GIB: 4e-3, 16 * GIB: cost_at_16_gib}
    points = [Point(pages, seconds) for pages, seconds in sizes.items()]
    return {
        (lookup, frames): points
        for lookup, frames in itertools.product(("hashed", "linear"), ("apart", "average", "worst"))
    }


def test_linear_growth_reaches_the_aim() -> None:
    figures = growth(series())
    assert [round(figure.ratio, 6) for figure in figures] == [1.0, 1.0, 1.0]
    assert all(figure.reached for figure in figures)


def test_growth_by_more_than_size_misses_it() -> None:
    figures = growth(series(cost_at_16_gib=96e-3))
    assert [round(figure.ratio, 6) for figure in figures] == [6.0, 6.0, 6.0]
    assert not any(figure.reached for figure in figures)


def decoded(what: str, how: str, **ratios: float) -> dict[str, object]:
    counters = {"of_read": 0.3, "of_mark": 0.3, "of_read_write": 0.3, **ratios}
    return {"name": f"list_decode/{what}/{how}/manual_time", "bytes_per_second": 2.5e9, **counters}


def test_each_way_of_reading_is_held_against_its_own_bound() -> None:
    good = [
        decoded("check", "rising", of_read=0.9),
        decoded("check", "scattered", of_mark=0.7),
        decoded("moves", "rising", of_read_write=0.7),
        decoded("moves", "scattered", of_read_write=0.55),
    ]
    figures = decoding_figures(good)
    assert [figure.ratio for figure in figures] == [0.9, 0.7, 0.7, 0.55]
    assert all(figure.reached for figure in figures)
    bad = [decoded(*str(record["name"]).split("/")[1:3]) for record in good]
    assert not any(figure.reached for figure in decoding_figures(bad))


def test_the_plot_shows_each_series(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="python3-matplotlib is not installed")
    target = tmp_path / "new" / "plot.svg"
    plot(series(), target)
    text = target.read_text(encoding="utf-8")
    assert text.count("<!-- map from destination to entry") == 3
    assert text.count("<!-- walk of the list for each page") == 3
    assert "seconds to build its page list" in text
    assert "<!-- 16 GiB -->" in text and "<!-- 8 MiB -->" in text


def test_the_same_numbers_give_the_same_file(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="python3-matplotlib is not installed")
    plot(series(), tmp_path / "a.svg")
    plot(series(), tmp_path / "b.svg")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
