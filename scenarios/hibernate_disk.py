# SPDX-License-Identifier: GPL-2.0-or-later
"""hibernate-disk: save to a swap disk, power off, boot, resume; proved from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.context import RunContext
from harness.faults.tamper import TAMPERS
from harness.hibernation.options import HibernateOptions
from harness.hibernation.story import HibernateStory
from harness.scenario import Scenario, ScenarioOption

_DESCRIPTION = """\
Boots a kernel, plants a nonce in its memory, starts workloads, hibernates it to a swap disk, lets
it power off, boots the same kernel with another nonce on its command line, lets that resume, and
proves from outside that the restored machine is the saved one.

\b
Proved in every cycle:
  - the image on the disk is well formed: header, page list, swap map, units, CRC
  - every page of the image equals RAM when the kernel took its snapshot
  - no page that had to be saved is missing
  - at the first instruction of the restored kernel, every page of the image stands in RAM
  - CPU registers, control registers and descriptor tables are restored
  - both nonces hold; workloads, timers and all CPUs go on; the kernel's log is clean

What may differ is listed by rule and symbol; `--json` and report.html show each rule's use.
"""


def _run(context: RunContext, options: Mapping[str, Any]) -> None:
    HibernateStory(
        context,
        HibernateOptions(
            mode=options["mode"],
            compressor=options["compressor"],
            cycles=options["cycles"],
            load=options["load"],
            disk_mib=options["disk_size"],
            tamper=TAMPERS[options["tamper"]] if options["tamper"] else None,
        ),
    ).run()


SCENARIO = Scenario(
    name="hibernate-disk",
    summary="hibernate to a swap disk, power off, boot, resume; all memory proved from outside",
    description=_DESCRIPTION,
    run=_run,
    tampers=TAMPERS,
    options=(
        ScenarioOption(
            "mode",
            "How the kernel ends after saving: ACPI S4, S5, or a reset.",
            "shutdown",
            choices=("platform", "shutdown", "reboot"),
        ),
        ScenarioOption(
            "compressor",
            "Of the image; default: the kernel's own choice. lz4 needs 6.9 or later.",
            "default",
            choices=("default", "lzo", "lz4", "none"),
        ),
        ScenarioOption("cycles", "How often to save and resume, in a row.", 1, minimum=1),
        ScenarioOption(
            "load",
            "A further workload that runs during the save.",
            "none",
            choices=("none", "memory", "cpu", "disk"),
        ),
        ScenarioOption(
            "disk-size",
            "Swap disk in MiB; default: twice the memory.",
            0,
            metavar="MIB",
            minimum=0,
        ),
        ScenarioOption(
            "tamper",
            "Put in this fault, to see the rig find it (`jumpback list` explains each).",
            "",
            choices=("", *TAMPERS),
            metavar="NAME",
        ),
    ),
)
