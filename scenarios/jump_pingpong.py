# SPDX-License-Identifier: GPL-2.0-or-later
"""jump-pingpong: two kernels in one machine take turns by kexec jump, without booting again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.errors import UsageError
from harness.jump.tampers import PINGPONG_TAMPERS
from harness.scenario import Scenario, ScenarioOption
from scenarios.jump_kernel import BOOT_ONCE, WINDOW_OPTIONS

_DESCRIPTION = """\
Boots kernel A, lets it load and enter kernel B as jump-kernel does, and then has the two take
turns: each switch is a whole kexec jump (devices suspended, CPUs taken down, memory swapped) into a
kernel that was left by its own jump before. Nothing boots any more.

\b
Proved in every switch, from outside, as in jump-kernel: all of RAM at three stops, registers and
descriptor tables, the steps of both kernels. In every ninth and in the last two: nonces, workloads
and CPUs of the kernel that runs. Over all of them: the counters of both kernels go on, their free
memory does not sink (from 48 switches on; caches take some to fill), the log stays clean (with
lockdep, if the kernel has it).

The time of a switch, and with --count-instructions its guest instructions, stand beside those of
the first jump with B's boot.
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    from harness.jump.options import JumpOptions
    from harness.jump.pingpong_story import PingPongStory

    if options["boot_once"] and options["count_instructions"]:
        raise UsageError(
            "--boot-once and --count-instructions: the counting plugin writes to a file of this "
            "run, so a snapshot of such a machine would never be found again; give only one"
        )
    PingPongStory(
        context,
        JumpOptions.of(
            options,
            boot_once=options["boot_once"],
            switches=options["switches"],
            count_instructions=options["count_instructions"],
            tamper=PINGPONG_TAMPERS[options["tamper"]] if options["tamper"] else None,
        ),
    ).run()


SCENARIO = Scenario(
    name="jump-pingpong",
    summary="two kernels take turns by kexec jump, many times, every switch proved from outside",
    description=_DESCRIPTION,
    run=_run,
    tampers=PINGPONG_TAMPERS,
    options=(
        ScenarioOption("switches", "How often to switch after B has booted.", 100, minimum=1),
        *WINDOW_OPTIONS,
        BOOT_ONCE,
        ScenarioOption(
            "count-instructions",
            "Say how many instructions of the guest a switch takes beside a boot; TCG only.",
            False,
        ),
        ScenarioOption(
            "tamper",
            "Put in this fault in the last switch, to see the rig find it.",
            "",
            choices=("", *PINGPONG_TAMPERS),
            metavar="NAME",
        ),
    ),
)
