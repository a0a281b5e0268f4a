# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-kernel: kernel A jumps to kernel B and back; memory, registers and controllers proved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.jump.tampers import JUMP_TAMPERS
from harness.scenario import Scenario, ScenarioOption

_DESCRIPTION = """\
Boots kernel A, lets it load a second kernel B with its context preserved, and jumps: all pages of
B's window change places with A's. B boots to user space, is told where to jump back to, reads A's
memory through /proc/vmcore, and jumps back. A goes on.

\b
Proved in every jump, from outside:
  - at B's first instruction all of RAM is A's, pages swapped as A's page list says
  - registers, descriptor tables and interrupt controllers there are what the model says
  - B changes nothing outside its window
  - back in A, all of A's RAM is as it was when A left; registers as a C function must leave them
  - the steps of kernel_kexec() and machine_kexec() are those of the model, in both kernels
  - timer ticks in both, both nonces, A's workloads, CPUs, devices; the log is clean

The first jump boots B; with --trips, later ones find it as it was left.
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    # Here, so that a tree whose native modules are half built can still list its scenarios.
    from harness.jump.kernel_story import JumpKernelStory
    from harness.jump.options import JumpOptions

    JumpKernelStory(
        context,
        JumpOptions.of(
            options,
            boot_once=options["boot_once"],
            loader=options["loader"],
            trips=options["trips"],
            tamper=JUMP_TAMPERS[options["tamper"]] if options["tamper"] else None,
        ),
    ).run()


WINDOW_OPTIONS = (
    ScenarioOption(
        "mem-min", "First address of B's RAM above 1 MiB.", "0x100000", metavar="ADDRESS"
    ),
    ScenarioOption("mem-max", "Last address of B's RAM.", "0x3ffffff", metavar="ADDRESS"),
    ScenarioOption("acpi", "Of both kernels.", "on", choices=("on", "off")),
    ScenarioOption(
        "console",
        "What a jump does to it: no_console_suspend, or as kernels do it by default.",
        "kept",
        choices=("kept", "suspended"),
    ),
)

BOOT_ONCE = ScenarioOption(
    "boot-once",
    "Restore A from a snapshot of its boot; the first such run makes it (docs/machine.md).",
    False,
)

SCENARIO = Scenario(
    name="jump-kernel",
    summary="kexec jump from kernel A to kernel B and back, every stop proved from outside",
    description=_DESCRIPTION,
    run=_run,
    tampers=JUMP_TAMPERS,
    options=(
        ScenarioOption("trips", "How often to go there and back.", 1, minimum=1),
        ScenarioOption(
            "loader",
            "What loads B, and in B the way back: our own program, or Debian's kexec-tools.",
            "own",
            choices=("own", "kexec-tools"),
        ),
        *WINDOW_OPTIONS,
        BOOT_ONCE,
        ScenarioOption(
            "tamper",
            "Put in this fault, to see the rig find it (`jumpback list` explains each).",
            "",
            choices=("", *JUMP_TAMPERS),
            metavar="NAME",
        ),
    ),
)
