# SPDX-License-Identifier: GPL-2.0-or-later
"""kexec-load: kexec_load on a running kernel against its model; page lists read from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.kexec.options import KexecOptions
from harness.kexec.tampers import EACH_CHECK, KEXEC_TAMPERS, tampers_named
from harness.scenario import Scenario, ScenarioOption

_DESCRIPTION = """\
Boots a kernel, makes hundreds of kexec_load calls in it, right and wrong ones, and holds every
answer against the model's for this version and architecture. Then loads images of many shapes,
reads their page lists out of guest RAM, and proves them from outside.

\b
Proved:
  - each check of kexec_load, at its edge and in its order, returns the errno that it must
  - a refused call leaves the loaded image alone, word for word
  - page lists are well formed; control pages, swap page and list pages lie in no destination
  - they name the segments' destinations in order, and source pages hold the segments' bytes
  - from the frames that the kernel's allocator gave, the model builds the same list, word for word
  - unloading leaves no frame behind

Nothing is executed of what is loaded: no jump is made. docs/kexec-load.md tells the rest.
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    # Here, so that a tree whose native modules are half built can still list its scenarios.
    from harness.kexec.story import KexecStory

    KexecStory(
        context,
        KexecOptions(
            calls=options["calls"],
            crash_region=options["crash_region"] == "yes",
            trace_all=options["trace"] == "all",
            tampers=tampers_named(options["tamper"]),
        ),
    ).run()


SCENARIO = Scenario(
    name="kexec-load",
    summary="kexec_load calls and their page lists on a running kernel, against the model",
    description=_DESCRIPTION,
    run=_run,
    tampers=KEXEC_TAMPERS,
    options=(
        ScenarioOption("calls", "How many random calls to make, beside the table.", 200, minimum=0),
        ScenarioOption(
            "crash-region",
            "Reserve memory for a crash kernel, an eighth of all.",
            "yes",
            choices=("yes", "no"),
        ),
        ScenarioOption(
            "trace",
            "Watch the frame allocator in the short loads, or in all (some ms a frame).",
            "short",
            choices=("short", "all"),
        ),
        ScenarioOption(
            "tamper",
            "Put in this fault, to see the rig find it; each-check: one for every check, in one "
            "run (docs/kexec-load.md explains each).",
            "",
            choices=("", *KEXEC_TAMPERS, EACH_CHECK),
            metavar="NAME",
        ),
    ),
)
