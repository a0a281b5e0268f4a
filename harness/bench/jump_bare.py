# SPDX-License-Identifier: GPL-2.0-or-later
"""The trip of jump-kernel as a user would make it: QEMU's bare command and a shell script in each
guest. No debugger, no captures, no agent, no report.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

from harness.errors import InfraError
from harness.guest_image import GuestFile, build_guest
from harness.jump.loader import GUEST_PATH, INITRD_PATH, KERNEL_PATH, build_loader
from harness.machine.config import QEMU, TCG_CPU
from kernel.under_test import KernelUnderTest

LIMIT = 120.0  # seconds
_WORDS = "console=ttyS0,115200 nokaslr panic=0 no_console_suspend no_timer_check"
_MOUNT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
"""
_A = f"""{_MOUNT}
{GUEST_PATH} load --kernel {KERNEL_PATH} --initrd {INITRD_PATH} \\
    --append '{_WORDS} maxcpus=1 rdinit=/bare-b'
/bin/jump-now
echo BACK $?
poweroff -f
"""
_B = f"""{_MOUNT}
{GUEST_PATH} back
echo THERE
/bin/jump-now
"""
# busybox's reboot cannot ask for it.
_JUMP = """
#include <linux/reboot.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void) {
    return syscall(SYS_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2, LINUX_REBOOT_CMD_KEXEC,
                   0) != 0;
}
"""


class BareTrip:
    """From A to B, which boots, and back to A; then A powers off."""

    def __init__(self, tested: KernelUnderTest, folder: Path, memory_mib: int) -> None:
        self._folder = folder
        scripts = {"/bare-a": _A, "/bare-b": _B}
        files = {GUEST_PATH: GuestFile(build_loader(tested.arch), 0o755)}
        for name, text in scripts.items():
            script = folder / name.strip("/")
            script.write_text(text)
            files[name] = GuestFile(script, 0o755)
        files["/bin/jump-now"] = GuestFile(self._compile(), 0o755)
        other = build_guest(tested.arch, files=files).path
        files |= {KERNEL_PATH: GuestFile(tested.bzimage), INITRD_PATH: GuestFile(other)}
        initrd = build_guest(tested.arch, files=files).path
        self._console = folder / "bare.log"
        self._argv = [QEMU, "-machine", "q35,accel=tcg", "-cpu", TCG_CPU, "-m", str(memory_mib)]
        self._argv += ["-nodefaults", "-display", "none", "-serial", f"file:{self._console}"]
        self._argv += ["-kernel", str(tested.bzimage), "-initrd", str(initrd)]
        self._argv += ["-append", f"{_WORDS} rdinit=/bare-a"]

    def run(self) -> float:
        """Seconds of the whole process."""
        began = time.monotonic()
        subprocess.run(self._argv, check=True, timeout=LIMIT, stdin=subprocess.DEVNULL)
        seconds = time.monotonic() - began
        said = self._console.read_text(errors="replace")
        if "THERE" not in said or "BACK 0" not in said:
            raise InfraError(f"the bare commands did not go there and back:\n{said[-2000:]}")
        return seconds

    def _compile(self) -> Path:
        source, program = self._folder / "jump-now.c", self._folder / "jump-now"
        source.write_text(_JUMP)
        command = ["gcc", "-O2", "-static", "-s", "-o", str(program), str(source)]
        answer = subprocess.run(command, capture_output=True, text=True)
        if answer.returncode != 0:
            raise InfraError(f"{' '.join(command)} failed:\n{answer.stderr[-2000:]}")
        return program
