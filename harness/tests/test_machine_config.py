# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's command line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.machine.config import Channels, MachineConfig, qemu_command

pytestmark = pytest.mark.timeout(10)

CHANNELS = Channels(qmp=3, gdb=4, console=5, agent=6, ram=7)


def command(**more: Any) -> list[str]:
    config = MachineConfig(bzimage=Path("/k/bzImage"), **more)
    return qemu_command(config, CHANNELS, Path("/run/qemu.log"), "console=ttyS0 nonce=1")


def values(argv: list[str], option: str) -> list[str]:
    return [argv[index + 1] for index, word in enumerate(argv) if word == option]


def test_the_rig_owns_reset_and_power() -> None:
    argv = command()
    assert values(argv, "-action") == ["reboot=shutdown,shutdown=pause,panic=none"]
    assert "-S" in argv
    assert "-no-reboot" not in argv and "-no-shutdown" not in argv


def test_nothing_comes_from_the_users_configuration() -> None:
    argv = command()
    assert "-nodefaults" in argv and "-no-user-config" in argv


def test_ram_is_the_shared_file() -> None:
    argv = command(memory_mib=300)
    (backend,) = values(argv, "-object")
    assert backend == (
        f"memory-backend-file,id=ram,size={300 << 20},share=on,mem-path=/proc/self/fd/7"
    )
    assert "memory-backend=ram" in values(argv, "-machine")[0]
    assert values(argv, "-m") == ["300M"]


def test_serial_ports_are_console_then_agent() -> None:
    argv = command()
    assert values(argv, "-serial") == ["chardev:console", "chardev:agent"]
    assert "fd=5,set=1" in values(argv, "-add-fd")
    assert "file,id=console,path=/dev/fdset/1,append=on" in values(argv, "-chardev")
    assert "socket,id=agent,fd=6" in values(argv, "-chardev")
    assert values(argv, "-mon") == ["chardev=qmp,mode=control"]
    assert values(argv, "-gdb") == ["chardev:gdb"]


def test_disks_in_order_and_commas_escaped() -> None:
    argv = command(disks=(Path("/a/one.img"), Path("/b,c/two.img")))
    first, second = values(argv, "-blockdev")
    assert "node-name=disk0" in first and first.endswith("file.filename=/a/one.img")
    assert "node-name=disk1" in second and second.endswith("file.filename=/b,,c/two.img")
    assert all("driver=raw" in disk and "cache.no-flush=on" in disk for disk in (first, second))
    devices = values(argv, "-device")
    assert [device.split(",")[1] for device in devices] == ["drive=disk0", "drive=disk1"]


def test_kernel_and_extra_arguments() -> None:
    argv = command(initrd=Path("/i"), extra_args=("-trace", "x"))
    assert values(argv, "-kernel") == ["/k/bzImage"]
    assert values(argv, "-initrd") == ["/i"]
    assert values(argv, "-append") == ["console=ttyS0 nonce=1"]
    assert argv[-2:] == ["-trace", "x"]
    assert "-initrd" not in command()


@pytest.mark.parametrize("arch", ["x86_64", "i386"])
def test_cpu_model_is_fixed_and_the_same_for_both_architectures(arch: str) -> None:
    assert values(command(arch=arch), "-cpu") == ["qemu64,+rdrand"]
    assert values(command(arch=arch, accelerator="kvm"), "-cpu") == ["host"]
    assert values(command(arch=arch, cpu_model="max"), "-cpu") == ["max"]
    assert command(arch=arch)[0] == "qemu-system-x86_64"


def test_pure(tmp_path: Path) -> None:
    assert command(cpus=2) == command(cpus=2)
    assert values(command(cpus=2), "-smp") == ["2"]


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        ({"arch": "arm"}, "x86_64 or i386"),
        ({"accelerator": "hvf"}, "tcg or kvm"),
        ({"memory_mib": 1}, "at least 16 MiB"),
        ({"cpus": 0}, "1 to 255"),
    ],
)
def test_bad_values_say_what_was_expected(bad: dict[str, Any], complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        command(**bad)
