# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-snapshot: kernel B saves all of kernel A's memory to a disk, twice, and A lives on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.jump.snapshot_tampers import SNAPSHOT_TAMPERS
from harness.scenario import Scenario, ScenarioOption
from scenarios.jump_kernel import WINDOW_OPTIONS

_DESCRIPTION = """\
Kernel A jumps to kernel B. B saves A's memory to a disk as an ELF64 core: pages outside its window
from where they stand, those of the window from where A's page list has put them. B jumps back, A
goes on and changes, jumps again, and B, which is as it was left, saves it to a second disk.

\b
Proved from outside, beside all that jump-kernel proves of the jumps:
  - every page of each image is A's at its last instruction, byte for byte
  - no page of A is missing but those that B itself was loaded into
  - virtual addresses are those of A's page tables, VMCOREINFO is A's
  - the two images differ where A's memory does, and a planted change is among it
  - readelf and makedumpfile open them, and find A's own log and page structures in them
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    # Here, so that a tree whose native modules are half built can still list its scenarios.
    from harness.jump.options import JumpOptions
    from harness.jump.snapshot_story import SnapshotStory

    SnapshotStory(
        context,
        JumpOptions.of(options),
        SNAPSHOT_TAMPERS[options["tamper"]] if options["tamper"] else None,
    ).run()


SCENARIO = Scenario(
    name="jump-snapshot",
    summary="B saves A's whole memory as an ELF core, twice; every byte proved from outside",
    description=_DESCRIPTION,
    run=_run,
    tampers=SNAPSHOT_TAMPERS,
    options=(
        *WINDOW_OPTIONS,
        ScenarioOption(
            "tamper",
            "Put in this fault, to see the rig find it (`jumpback list` explains each).",
            "",
            choices=("", *SNAPSHOT_TAMPERS),
            metavar="NAME",
        ),
    ),
)
