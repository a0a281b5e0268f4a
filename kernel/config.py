# SPDX-License-Identifier: GPL-2.0-or-later
"""Kconfig fragments: merged on top of a base config, and checked to have survived."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kernel.errors import ConfigError

_SET = re.compile(r"CONFIG_(\w+)=(.*)")
_UNSET = re.compile(r"# CONFIG_(\w+) is not set")


@dataclass(frozen=True)
class Wish:
    """One line of a fragment."""

    option: str  # without CONFIG_
    value: str  # "y", "n", a number, or a quoted string
    fragment: Path
    line: int


def parse(text: str) -> dict[str, str]:
    """Options of a .config; "is not set" is "n"."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        if match := _SET.fullmatch(line.strip()):
            options[match[1]] = match[2]
        elif match := _UNSET.fullmatch(line.strip()):
            options[match[1]] = "n"
    return options


def read_fragments(fragments: Sequence[Path]) -> dict[str, Wish]:
    """All wishes, the last one for an option holds. Raises ConfigError for a line that is none."""
    wishes: dict[str, Wish] = {}
    for fragment in fragments:
        for number, raw in enumerate(fragment.read_text().splitlines(), 1):
            line = raw.strip()
            if match := _SET.fullmatch(line):
                wishes[match[1]] = Wish(match[1], match[2], fragment, number)
            elif match := _UNSET.fullmatch(line):
                wishes[match[1]] = Wish(match[1], "n", fragment, number)
            elif line and not line.startswith("#"):
                raise ConfigError(f"{fragment}:{number}: {line!r} is not CONFIG_NAME=value")
    return wishes


def merge(base: str, wishes: dict[str, Wish]) -> str:
    """The text of ``base`` with the wishes in place of what it says about their options."""
    kept = []
    for line in base.splitlines():
        match = _SET.fullmatch(line) or _UNSET.fullmatch(line)
        if not match or match[1] not in wishes:
            kept.append(line)
    for wish in wishes.values():
        if wish.value == "n":
            kept.append(f"# CONFIG_{wish.option} is not set")
        else:
            kept.append(f"CONFIG_{wish.option}={wish.value}")
    return "\n".join(kept) + "\n"


def check_survived(wishes: dict[str, Wish], final: str, what: str) -> None:
    """Raises ConfigError naming every wish that ``final``, the resulting config, does not grant."""
    got = parse(final)
    lost = []
    for wish in wishes.values():
        value = got.get(wish.option, "n")
        if value != wish.value:
            lost.append(
                f"  - {wish.fragment.name}:{wish.line}: "
                f"CONFIG_{wish.option}={wish.value} became {value}"
            )
    if lost:
        raise ConfigError(
            f"{what}: options that did not survive make olddefconfig:\n" + "\n".join(lost) + "\n"
            "An unmet dependency, an option that selects it, or an option that this version or "
            "architecture lacks: the last belongs in a fragment that only other rows list."
        )
