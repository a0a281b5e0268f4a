# SPDX-License-Identifier: GPL-2.0-or-later
"""What a machine is made of, and QEMU's command line for it: a pure function."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.errors import UsageError

# One binary for both architectures: its gdbstub then packs registers in one way, whether the
# kernel under test is an x86_64 or an i386 one.
QEMU = "qemu-system-x86_64"

# A named model of few features instead of "max": CPUID stays the same over QEMU versions, page
# tables keep 4 levels (TCG's "max" has LA57), and every feature is one that TCG really executes,
# so that QEMU warns of nothing. RDRAND spares the guest its slow start of the random pool.
TCG_CPU = "qemu64,+rdrand"
# Under KVM CPUID is the host's; lives of a cycle run on one host, hence see the same.
KVM_CPU = "host"

GIB = 1 << 30


@dataclass(frozen=True)
class MachineConfig:
    """Everything that stays the same over the lives of a machine."""

    bzimage: Path
    initrd: Path | None = None
    command_line: str = ""  # the kernel's; each life appends its nonce
    arch: str = "x86_64"
    memory_mib: int = 256
    cpus: int = 1
    accelerator: str = "tcg"
    disks: tuple[Path, ...] = ()  # raw images, /dev/vda on; their size is the disk's
    cpu_model: str = ""  # "": by accelerator
    extra_args: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.arch not in ("x86_64", "i386"):
            raise UsageError(f"architecture {self.arch!r}: x86_64 or i386 was expected")
        if self.accelerator not in ("tcg", "kvm"):
            raise UsageError(f"accelerator {self.accelerator!r}: tcg or kvm was expected")
        if self.memory_mib < 16:
            raise UsageError(f"memory of {self.memory_mib} MiB: at least 16 MiB was expected")
        if not 1 <= self.cpus <= 255:
            raise UsageError(f"{self.cpus} CPUs: 1 to 255 was expected")

    @property
    def memory(self) -> int:
        """Bytes of RAM."""
        return self.memory_mib << 20

    @property
    def cpu(self) -> str:
        return self.cpu_model or (KVM_CPU if self.accelerator == "kvm" else TCG_CPU)


@dataclass(frozen=True)
class Channels:
    """File descriptors that QEMU inherits: connected sockets, and the RAM's memory file.

    Descriptors instead of paths: nothing to clean up however the rig ends, no length limit, no
    race between two runs, and end-of-file the moment that QEMU dies.
    """

    qmp: int
    gdb: int
    # ttyS0: a pipe's end. The guest writes byte by byte; a socket buffer is full after some 280
    # such writes, and the kernel's polled console then drops characters (measured).
    console: int
    agent: int  # ttyS1
    ram: int


def qemu_command(
    config: MachineConfig, channels: Channels, log: Path, command_line: str
) -> list[str]:
    """QEMU's argv. ``command_line``: the kernel's for this life; ``log``: QEMU's own log file."""
    argv = [QEMU, "-no-user-config", "-nodefaults", "-display", "none", "-vga", "none"]
    argv += ["-machine", f"q35,accel={config.accelerator},memory-backend=ram,usb=off,smbus=off"]
    argv += ["-cpu", config.cpu, "-smp", str(config.cpus), "-m", f"{config.memory_mib}M"]
    argv += [
        "-object",
        f"memory-backend-file,id=ram,size={config.memory},share=on,"
        f"mem-path=/proc/self/fd/{channels.ram}",
    ]
    # Start paused: breakpoints are set before the first instruction.
    argv.append("-S")
    # The rig owns reset and power: the machine then stands still, its RAM and registers readable.
    argv += ["-action", "reboot=shutdown,shutdown=pause,panic=none"]
    # The host's clock runs on between the lives of a cycle, as a real board's does.
    argv += ["-rtc", "base=utc,clock=host"]
    for name in ("qmp", "gdb", "agent"):
        argv += ["-chardev", f"socket,id={name},fd={getattr(channels, name)}"]
    argv += ["-add-fd", f"fd={channels.console},set=1"]
    argv += ["-chardev", "file,id=console,path=/dev/fdset/1,append=on"]
    argv += ["-mon", "chardev=qmp,mode=control", "-gdb", "chardev:gdb"]
    argv += ["-serial", "chardev:console", "-serial", "chardev:agent"]
    # Tells a triple fault from a reset that was asked for (target/i386/tcg/excp_helper.c).
    argv += ["-d", "cpu_reset", "-D", str(log)]
    for index, disk in enumerate(config.disks):
        # no-flush: the power cut that is simulated is QEMU's end, not the host's. What the guest
        # has written then stands in the host's page cache; fsync would only cost time.
        argv += [
            "-blockdev",
            f"driver=raw,node-name=disk{index},cache.direct=off,cache.no-flush=on,discard=unmap,"
            f"file.driver=file,file.aio=threads,file.filename={_escape(disk)}",
            "-device",
            f"virtio-blk-pci-non-transitional,drive=disk{index},serial=disk{index}",
        ]
    argv += ["-kernel", str(config.bzimage)]
    if config.initrd is not None:
        argv += ["-initrd", str(config.initrd)]
    if command_line:
        argv += ["-append", command_line]
    return argv + list(config.extra_args)


def _escape(path: Path) -> str:
    """QEMU's option lists are split at commas; a doubled one stands for itself."""
    return str(path).replace(",", ",,")
