# SPDX-License-Identifier: GPL-2.0-or-later
"""Hardware breakpoints of a CPU across a kexec jump (docs/findings/debug-registers.md).

What the kernel wants in the boot CPU's debug registers stands in its own per-CPU variables. It is
put there from outside, as perf puts it for a breakpoint of a CPU, and looked for after the jump.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kernel
from harness.tests import handoff_rig
from harness.tests.handoff_rig import Watch

# The first test may have to build the kernel: minutes.
pytestmark = [pytest.mark.boots, pytest.mark.full, pytest.mark.timeout(1200)]

DR7_FIXED = 1 << 10  # reads as 1
# Breakpoint 0 for all tasks, where an instruction is executed; GE.
WANTED_DR7 = 1 << 1 | 1 << 9


def debug_registers(watch: Watch) -> dict[int, int]:
    text = watch.monitor("info registers")
    return {int(n): int(value, 16) for n, value in re.findall(r"DR(\d)=([0-9a-f]+)", text)}


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
@pytest.mark.parametrize("name", ["6.1", "6.1+debug-registers"])
def test_breakpoints_of_a_cpu(tmp_path: Path, name: str, arch: str) -> None:
    fixed = kernel.find(name, arch).fixed
    guest = handoff_rig.build(name, arch, tmp_path)
    with guest.boot("jump") as watch:
        watch.run_to("machine_kexec")
        watch.labels["left"] = watch.return_address()
        offset = watch.kernel.pointer("__per_cpu_offset")
        place = guest.symbols.address("panic")  # nobody gets there
        for variable, value in (("cpu_debugreg", place), ("cpu_dr7", WANTED_DR7)):
            address = (guest.symbols.address(variable) + offset) % (1 << 8 * guest.word)
            assert watch.kernel.at(address, guest.word) == 0
            watch.kernel.write(address, value, guest.word)
        assert watch.run_to("restore_processor_state", "left") == "restore_processor_state"
        before = debug_registers(watch)
        assert (before[0], before[7]) == (0, DR7_FIXED), "hw_breakpoint_disable() cleared them"
        watch.run_to("left")
        after = debug_registers(watch)
        mended = "debug-registers" in fixed
        assert after[0] == (place if mended else 0)
        assert after[7] == (WANTED_DR7 | DR7_FIXED if mended else DR7_FIXED)
