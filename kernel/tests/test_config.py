# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kernel.config import check_survived, merge, parse, read_fragments
from kernel.errors import ConfigError

Write = Callable[[str, str], Path]


def test_later_fragment_wins_and_base_is_overridden(write: Write) -> None:
    first = write("first.config", '# why\nCONFIG_A=y\nCONFIG_B=y\nCONFIG_C="text"\n')
    second = write("second.config", "# CONFIG_B is not set\nCONFIG_D=17\nCONFIG_E=n\n")
    wishes = read_fragments([first, second])
    merged = merge("# CONFIG_A is not set\nCONFIG_B=y\nCONFIG_E=y\nCONFIG_KEPT=y\n", wishes)
    assert parse(merged) == {
        "KEPT": "y", "A": "y", "B": "n", "C": '"text"', "D": "17", "E": "n"
    }  # fmt: skip
    assert merged.count("CONFIG_B") == 1


def test_everything_survived(write: Write) -> None:
    wishes = read_fragments([write("f.config", "CONFIG_A=y\nCONFIG_B=n\nCONFIG_C=n\n")])
    check_survived(wishes, "CONFIG_A=y\n# CONFIG_B is not set\n", "kernel")


@pytest.mark.parametrize(
    ("final", "named"),
    [
        ("CONFIG_B=17\n", "f.config:1: CONFIG_A=y became n"),
        ("CONFIG_A=m\nCONFIG_B=17\n", "f.config:1: CONFIG_A=y became m"),
        ("CONFIG_A=y\nCONFIG_B=16\n", "f.config:2: CONFIG_B=17 became 16"),
        ("CONFIG_A=y\nCONFIG_B=17\nCONFIG_C=y\n", "f.config:3: CONFIG_C=n became y"),
    ],
)
def test_each_lost_option_is_named_with_its_fragment(write: Write, final: str, named: str) -> None:
    wishes = read_fragments([write("f.config", "CONFIG_A=y\nCONFIG_B=17\nCONFIG_C=n\n")])
    with pytest.raises(ConfigError, match=named) as caught:
        check_survived(wishes, final, "kernel")
    assert str(caught.value).count("became") == 1


def test_line_that_is_no_option_is_refused(write: Write) -> None:
    path = write("f.config", "CONFIG_A=y\nCONFIG B=y\n")
    with pytest.raises(ConfigError, match="f.config:2: 'CONFIG B=y'"):
        read_fragments([path])
