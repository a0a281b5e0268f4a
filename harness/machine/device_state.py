# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's own part of a saved machine, in a file: CPUs, devices and ROMs, but not guest RAM.

The file is a qcow2 image that is no disk of the machine, and holds one internal snapshot. RAM is
shared memory of ours, which the capability x-ignore-shared leaves out (migration/ram.c,
ramblock_is_ignored).

Why not ``migrate`` to a file: afterwards the saved machine has lost its disks (block.c,
bdrv_inactivate_all), and what stood at a breakpoint is stored with run state "debug", into which no
starting QEMU can go (softmmu/runstate.c). Nor xen-save-devices-state: it leaves out the ROMs.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from harness.errors import LostMachine
from harness.machine.qmp import QmpClient

LIMIT = 60.0  # seconds; usual: 0.02
_NODE, _FILE, _TAG = "jumpback-state", "jumpback-file", "jumpback"
_CACHE = {"no-flush": True}  # as the disks: the host's page cache is safe enough


def save_devices(qmp: QmpClient, path: Path) -> None:
    """Into a new file. The machine stands still and can go on afterwards."""
    path.touch(exist_ok=False)
    file = _file(path)
    _execute(qmp, "blockdev-add", **file, node_name=_FILE)
    try:
        options = {"driver": "qcow2", "file": _FILE, "size": 0}
        _job(qmp, "blockdev-create", options=options)
    finally:
        _execute(qmp, "blockdev-del", node_name=_FILE)
    _snapshot(qmp, "snapshot-save", path)


def load_devices(qmp: QmpClient, path: Path) -> None:
    """Into a machine of the same shape that was never started, with the saved RAM in place. The
    file is written to. A machine that could not take all of it is good for nothing."""
    _snapshot(qmp, "snapshot-load", path)


def _snapshot(qmp: QmpClient, command: str, path: Path) -> None:
    capability = {"capability": "x-ignore-shared", "state": True}
    _execute(qmp, "migrate-set-capabilities", capabilities=[capability])
    _execute(qmp, "blockdev-add", driver="qcow2", node_name=_NODE, cache=_CACHE, file=_file(path))
    try:
        _job(qmp, command, tag=_TAG, vmstate=_NODE, devices=[_NODE])
    finally:
        _execute(qmp, "blockdev-del", node_name=_NODE)


def _file(path: Path) -> dict[str, Any]:
    return {"driver": "file", "filename": str(path.absolute()), "cache": _CACHE}


def _job(qmp: QmpClient, command: str, **arguments: Any) -> None:
    """Runs a command that is answered at once and does its work as a job; LostMachine says why it
    failed."""
    _execute(qmp, command, job_id=command, **arguments)
    end = time.monotonic() + LIMIT
    while True:
        (job,) = (job for job in qmp.execute("query-jobs") if job["id"] == command)
        if job["status"] == "concluded":
            break
        if time.monotonic() > end:
            raise LostMachine(f"{command}: QEMU was not done in {LIMIT:g} s")
        time.sleep(0.001)
    _execute(qmp, "job-dismiss", id=command)
    if "error" in job:
        raise LostMachine(f"{command}: {job['error']}")


def _execute(qmp: QmpClient, command: str, **arguments: Any) -> None:
    qmp.execute(command, **{name.replace("_", "-"): value for name, value in arguments.items()})
