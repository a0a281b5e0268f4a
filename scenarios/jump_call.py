# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-call: A calls small programs by kexec jumps, in physical mode, again and again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.errors import UsageError
from harness.jump.call_options import ALL, EXTRA, USUAL, CallOptions
from harness.jump.call_tampers import CALL_TAMPERS
from harness.scenario import Scenario, ScenarioOption

_DESCRIPTION = """\
Boots a kernel, loads a small program with preserved context, and calls it by kexec jumps, several
times on one loaded image: the program works on memory and ports, on i386 with paging off, and
returns; the kernel goes on. One program after the other.

\b
Programs (--payload):
  plain           works, and returns with a plain ret
  ruin            ruins GDT, IDT, task register, selectors, bases, FPU, flags, every register
  flip            two entries that take turns, in a way that works on every kernel
  flip-slot       two entries that take turns by the re-entry slot on the stack
  bios            drops to real mode, asks the BIOS for the memory map, comes back
  several         code, results and input in segments far apart
  direction-flag  comes back with the direction flag set (not in "all")

\b
Proved at each call:
  - all of RAM and the CPU at the departure, the program's entry, its return, and back in the kernel
  - the program ran, and saw and computed what the host works out for itself
  - the steps of the jump are those of the model
  - the next call enters where the program said
And after all of them: nonces, workloads, CPUs, timers, interrupt controllers, a clean log.

docs/jump-call.md tells the rest.
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    # Here, so that a tree whose native modules are half built can still list its scenarios.
    from harness.jump.call_story import JumpCallStory

    tamper = CALL_TAMPERS.get(options["tamper"])
    payload = options["payload"]
    if tamper is not None and tamper.payload:
        if payload not in (ALL, tamper.payload):
            raise UsageError(f"--tamper {tamper.name} is for --payload {tamper.payload}")
        payload = tamper.payload
    JumpCallStory(
        context,
        CallOptions(
            payload=payload,
            calls=options["calls"],
            acpi=options["acpi"] == "on",
            tamper=tamper,
        ),
    ).run()


SCENARIO = Scenario(
    name="jump-call",
    summary="small programs called by kexec jumps, several times each, proved at every stop",
    description=_DESCRIPTION,
    run=_run,
    tampers=CALL_TAMPERS,
    options=(
        ScenarioOption(
            "payload",
            "Which program to call; all: one after the other, but for direction-flag.",
            ALL,
            choices=(ALL, *USUAL, *EXTRA),
            metavar="NAME",
        ),
        ScenarioOption("calls", "How often to call each, on one loaded image.", 3, minimum=1),
        ScenarioOption("acpi", "off: boot with acpi=off.", "on", choices=("on", "off")),
        ScenarioOption(
            "tamper",
            "Put in this fault, to see the rig find it (docs/jump-call.md explains each).",
            "",
            choices=("", *CALL_TAMPERS),
            metavar="NAME",
        ),
    ),
)
