# SPDX-License-Identifier: GPL-2.0-or-later
"""A process that brings a guest to its agent's answer and ends: what harness/bench/jump.py times.

    python3 -m harness.bench.answer FOLDER MEMORY_MIB boot|restore

Restoring uses, and where there is none makes, a snapshot in FOLDER/cache. Prints the seconds from
the machine's making to the answer.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import kernel
from harness.guest_image import build_guest
from harness.guest_link import guest_up
from harness.machine import Machine, MachineConfig
from harness.machine.snapshot_store import SnapshotStore
from kernel.cache import Cache


def main() -> None:
    folder, memory_mib, how = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    config = MachineConfig(
        bzimage=kernel.resolve("6.1", "x86_64").bzimage,
        initrd=build_guest("x86_64").path,
        command_line="console=ttyS0,115200 nokaslr panic=0",
        memory_mib=memory_mib,
    )
    store = None
    if how == "restore":
        store = SnapshotStore(Cache(folder / "cache"), note=lambda text: sys.exit(text))
    began = time.monotonic()
    with Machine(config, folder / "run") as machine:
        link = guest_up(machine, store, nonce="" if store else "bench")
        link.life.resume()
        with link.asking() as agent:
            agent.hello()
        print(f"{time.monotonic() - began:.6f}")
        link.close()


if __name__ == "__main__":
    main()
