# SPDX-License-Identifier: GPL-2.0-or-later
"""kexec-plain: ordinary kexec as the control of the jump: nothing is kept, nothing comes back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.jump.plain_tampers import PLAIN_TAMPERS
from harness.scenario import Scenario, ScenarioOption

_DESCRIPTION = """\
A loads a second kernel without KEXEC_PRESERVE_CONTEXT and calls reboot(LINUX_REBOOT_CMD_KEXEC). B
boots in A's place: what a jump does on top of this is seen by comparison.

\b
Proved:
  - the steps of kernel_kexec() and machine_kexec() are those of a plain kexec
  - at B's entry every page of the image is in its place, and no other page has changed but those
    that the model names
  - registers are cleared, and the word that would be the way back is zero
  - B is offered no kexec_jump_back_entry=
  - interrupt controllers are shut down for B, the legacy tick can reach it, and its timer ticks
  - it is B that runs, on all CPUs, by the nonce on its command line

docs/kexec-plain.md tells the rest.
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    # Here, so that a tree whose native modules are half built can still list its scenarios.
    from harness.jump.plain_story import PlainOptions, PlainStory

    tamper = PLAIN_TAMPERS[options["tamper"]] if options["tamper"] else None
    PlainStory(context, PlainOptions(acpi=options["acpi"] == "on", tamper=tamper)).run()


SCENARIO = Scenario(
    name="kexec-plain",
    summary="ordinary kexec from kernel A to kernel B: no preserved context, no way back",
    description=_DESCRIPTION,
    run=_run,
    tampers=PLAIN_TAMPERS,
    options=(
        ScenarioOption("acpi", "Of both kernels.", "on", choices=("on", "off")),
        ScenarioOption(
            "tamper",
            "Put in this fault, to see the rig find it (docs/kexec-plain.md explains each).",
            "",
            choices=("", *PLAIN_TAMPERS),
            metavar="NAME",
        ),
    ),
)
