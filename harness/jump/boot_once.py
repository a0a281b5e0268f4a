# SPDX-License-Identifier: GPL-2.0-or-later
"""--boot-once: A with B loaded, saved when it was booted for the first time and restored in every
later run (harness/machine/snapshot_store.py). To load a kernel takes longer than to boot one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

from harness.context import RunContext
from harness.guest_link import GuestLink
from harness.jump.loader import Loaded
from harness.jump.options import JumpOptions, limit
from harness.jump.setup import run_booted_story, run_story
from harness.jump.travel import Travel, b_command_line, load_b
from harness.machine import Life, MachineConfig

# What the story must know of a guest that it has not booted itself; in the life's memo.
_NONCE, _LOADED = "B's nonce", "B"


def run_travel_story(
    context: RunContext,
    options: JumpOptions,
    config: MachineConfig,
    tell: Callable[[Travel, Callable[[], None]], None],
    done: list[str],
) -> None:
    """A story of two kernels in one life. ``tell`` gets A, and how it gets up: booted, or restored
    if the options say so. ``done``: what tampers did, for the report."""

    def of_life(life: Life) -> None:
        travel = Travel.begin(context, options, life)
        tell(travel, travel.boot)

    if options.boot_once:
        once = BootOnce(context, options)
        run_booted_story(context, config, once, lambda link: tell(*once.go_on(link)), done)
    else:
        run_story(context, config, of_life, done)


class BootOnce:
    def __init__(self, context: RunContext, options: JumpOptions) -> None:
        self._context = context
        self._options = options

    @property
    def point(self) -> str:
        """All that B's image follows from, but for the machine itself and B's nonce."""
        options = self._options
        window = f"{options.window.first:#x}-{options.window.last:#x}"
        line = b_command_line(self._context, options, "")
        return f"B loaded by {options.loader} into {window}: {line}"

    def prepare(self, link: GuestLink) -> None:
        nonce = f"{self._context.random.getrandbits(64):016x}"
        with link.life.stage("load", limit(self._context, self._options, "load")):
            loaded = load_b(self._context, self._options, link, nonce)
        link.life.memo.update({_NONCE: nonce, _LOADED: asdict(loaded)})

    def go_on(self, link: GuestLink) -> tuple[Travel, Callable[[], None]]:
        """With the guest that is up, and how to let it run."""
        travel = Travel.begin(self._context, self._options, link.life, link)
        travel.b.nonce = link.life.memo[_NONCE]
        travel.loaded = Loaded(**link.life.memo[_LOADED])
        return travel, link.life.resume
