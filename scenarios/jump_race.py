# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-race: kexec_load, unload and jumps against each other from several CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.errors import UsageError
from harness.jump.race_tampers import RACE_TAMPERS
from harness.scenario import Scenario, ScenarioOption

# The orders of a round's calls grow with the product of the threads' calls: with 6 and none turned
# away 7^6 times 2 states, seconds a round.
MOST_LOADERS = 6

_DESCRIPTION = """\
Boots a kernel and lets threads on all its CPUs load an image, unload it and jump into it, at the
same time, round after round. The image is one page that returns at once.

\b
Proved:
  - every call succeeds, or says EBUSY while somebody else was at it; a jump without image: EINVAL
  - the answers of each round are those of some order of its calls: no image is lost or made up
  - after the races a clean jump passes, step by step as the model says
  - once all is unloaded no frame is left reserved, and no memory is missing
  - all CPUs, the workload, both nonces and the log are as they should be

Two jumps never race: reboot(2) itself keeps them apart. docs/jump-race.md tells the rest.
Give it --cpus 2: with one CPU calls interleave, but do not run at the same time.
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    # Here, so that a tree whose native modules are half built can still list its scenarios.
    from harness.jump.race_story import RaceOptions, RaceStory

    if options["loaders"] > MOST_LOADERS:
        raise UsageError(
            f"--loaders {options['loaders']}: at most {MOST_LOADERS}, as each order of their calls "
            "is looked at"
        )
    tamper = RACE_TAMPERS[options["tamper"]] if options["tamper"] else None
    RaceStory(
        context,
        RaceOptions(
            rounds=options["rounds"],
            loaders=options["loaders"],
            acpi=options["acpi"] == "on",
            tamper=tamper,
        ),
    ).run()


SCENARIO = Scenario(
    name="jump-race",
    summary="kexec_load, unload and jumps against each other from several CPUs",
    description=_DESCRIPTION,
    run=_run,
    tampers=RACE_TAMPERS,
    options=(
        ScenarioOption("rounds", "How many rounds of racing calls.", 200, minimum=1),
        ScenarioOption(
            "loaders",
            f"Threads that load and unload, beside the one that jumps; at most {MOST_LOADERS}.",
            3,
            minimum=1,
        ),
        ScenarioOption("acpi", "ACPI on or off in the guest.", "on", choices=("on", "off")),
        ScenarioOption(
            "tamper",
            "Put in this fault, to see the rig find it (docs/jump-race.md explains each).",
            "",
            choices=("", *RACE_TAMPERS),
            metavar="NAME",
        ),
    ),
)
