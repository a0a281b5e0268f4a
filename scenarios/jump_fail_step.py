# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-fail-step: each step of the jump is made to fail; the kernel must live on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.errors import UsageError
from harness.jump.fail_tampers import FAIL_TAMPERS
from harness.scenario import Scenario, ScenarioOption

STEPS = (
    "take-lock",
    "find-image",
    "freeze-processes",
    "suspend-devices-late",
    "refusing-device-late",
    "disable-cpus",
    "suspend-syscore",
    "refusing-device",
    "suspend-devices",
)

_DESCRIPTION = """\
Boots a kernel and loads an image of one page. Then, in one life, each step of kernel_kexec()'s jump
is made to fail in turn, from outside, at the instruction that makes it. Behind the last one a clean
jump into the page and back must pass.

\b
Proved, for each step:
  - what ran is what a correct kernel runs: the steps before, and the way out of that one
  - reboot(2) returns its error
  - no device is left suspended; online CPUs, freezer, clocks and allocator flags are as before
  - all CPUs run, workloads go on, timers fire, the disk is written and read back, the console works
  - no lock is left: the image can be loaded again
and the clean jump, with all of RAM and the CPU compared at each of its stops.

Kernels up to 6.16 leave devices suspended when dpm_suspend_start() fails: such a run is XFAIL
(docs/findings/unwinding-label.md). docs/jump-sequence.md tells the rest.
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    # Here, so that a tree whose native modules are half built can still list its scenarios.
    from harness.jump.fail_story import FailOptions, FailStory

    tamper = FAIL_TAMPERS[options["tamper"]] if options["tamper"] else None
    steps = STEPS if options["step"] == "all" else (options["step"],)
    if tamper is not None:
        if tamper.step not in steps:
            raise UsageError(f"--tamper {tamper.name} is about --step {tamper.step}")
        if context.options.cpus < tamper.cpus:
            raise UsageError(f"--tamper {tamper.name} needs --cpus {tamper.cpus}")
        steps = (tamper.step,)
    acpi = options["acpi"] == "on"
    FailStory(context, FailOptions(steps=steps, acpi=acpi, tamper=tamper)).run()


SCENARIO = Scenario(
    name="jump-fail-step",
    summary="each step of a kexec jump fails in turn; the kernel unwinds it and lives on",
    description=_DESCRIPTION,
    run=_run,
    tampers=FAIL_TAMPERS,
    options=(
        ScenarioOption(
            "step", "The step that fails, or all one after another.", "all", choices=("all", *STEPS)
        ),
        ScenarioOption("acpi", "Whether the kernel uses ACPI.", "on", choices=("on", "off")),
        ScenarioOption(
            "tamper",
            "Put in this fault, to see the rig find it; only its step fails then.",
            "",
            choices=("", *FAIL_TAMPERS),
            metavar="NAME",
        ),
    ),
)
