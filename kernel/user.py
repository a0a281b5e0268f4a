# SPDX-License-Identifier: GPL-2.0-or-later
"""A user's own kernel: found, and checked for what the rig needs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from kernel import config
from kernel.errors import UserKernelError
from kernel.kernel_files import Vmlinux, belong_together, bzimage_version
from kernel.under_test import KernelUnderTest


@dataclass(frozen=True)
class Need:
    """An option that must be built in; with ``either``, one of several names it has had."""

    option: str
    reason: str
    either: tuple[str, ...] = ()  # other names, older or newer
    at_least: int | None = None  # a number, not "y"
    only_32bit: bool = False


# One table: what a kernel must have for the rig to run and judge hibernation on it.
NEEDED = (
    Need("HIBERNATION", "that is what is tested"),
    Need("SWAP", "the image is written to swap"),
    Need("BLK_DEV_INITRD", "the guest's root is an initramfs"),
    Need("BINFMT_ELF", "the agent is an ELF program"),
    Need("PROC_FS", "the agent reads /proc"),
    Need("SYSFS", "hibernation is started through /sys/power"),
    Need("DEVTMPFS", "disks and serial ports appear in /dev through it"),
    Need("TMPFS", "a workload keeps a file in tmpfs"),
    Need("TTY", "console and agent talk over serial ports"),
    Need("SERIAL_8250", "console and agent talk over serial ports"),
    Need("SERIAL_8250_CONSOLE", "the console is ttyS0"),
    Need("SERIAL_8250_RUNTIME_UARTS", "ttyS0 is the console, ttyS1 the agent's line", at_least=2),
    Need("PRINTK", "stages and panics are seen on the console"),
    Need("PCI", "the disks are PCI devices"),
    Need("VIRTIO_PCI", "the disks are virtio devices on PCI"),
    Need("VIRTIO_BLK", "the swap disk is a virtio disk"),
    Need("ACPI", "power-off in S4 and S5 goes through ACPI"),
    Need("FUTEX", "the C library of the guest's programs uses it"),
    Need("POSIX_TIMERS", "a workload arms a timer"),
    Need(
        "COMPAT_32BIT_TIME",
        "the C library of the guest's 32-bit programs waits with 32-bit times",
        only_32bit=True,
    ),
    Need("TIMERFD", "a workload arms a timer"),
    Need("PROC_PAGE_MONITOR", "the agent finds the nonce's frame in /proc/self/pagemap"),
    Need(
        "CRASH_CORE",
        "the layout of page structures is read from vmcoreinfo",
        either=("VMCORE_INFO",),
    ),
)

# Built in, these make a run impossible.
FORBIDDEN = {
    "CMDLINE_OVERRIDE": "it throws away the command line that the rig gives",
    "LOCK_DOWN_KERNEL_FORCE_INTEGRITY": "a locked-down kernel refuses to hibernate",
    "LOCK_DOWN_KERNEL_FORCE_CONFIDENTIALITY": "a locked-down kernel refuses to hibernate",
}

# Without these a run works, and says less.
WANTED = {
    "SMP": "only --cpus 1 is possible",
    "KALLSYMS": "stack traces on the console have no names",
}


def load_user_kernel(path: Path) -> KernelUnderTest:
    """The kernel in ``path``: a build tree, or a folder with bzImage and vmlinux.

    The config is looked for as .config, config, config-* there, then inside vmlinux. Raises
    UserKernelError that names everything missing at once, with what to set.
    """
    if path.is_file():
        raise UserKernelError(
            f"{path}: a folder is wanted, a kernel build tree or one with bzImage and vmlinux"
        )
    if not path.is_dir():
        raise UserKernelError(f"{path}: there is no such folder")
    path = path.resolve()
    bzimage, vmlinux_path = _find_files(path)
    with Vmlinux(vmlinux_path) as vmlinux:
        arch, banner = vmlinux.arch, vmlinux.banner()
        config_path, text = _find_config(path)
        if text is None:
            text = vmlinux.embedded_config()
    version = bzimage_version(bzimage)
    if not belong_together(banner, version):
        raise UserKernelError(
            f"{bzimage} and {vmlinux_path} are not from one build:\n"
            f"    bzImage: {version}\n    vmlinux: {banner}\n"
            "Build both with one `make bzImage`, or copy both from the same tree."
        )
    warnings: list[str] = []
    if text is None:
        warnings.append(
            f"{path}: no .config, config or config-* there, and none inside vmlinux "
            "(CONFIG_IKCONFIG): whether the kernel has what the rig needs was not checked"
        )
    else:
        options = config.parse(text)
        if problems := check_options(options):
            raise UserKernelError(f"{path}: this kernel lacks what the rig needs:", problems)
        warnings += [
            f"{path}: CONFIG_{option} is not set: {effect}"
            for option, effect in WANTED.items()
            if options.get(option, "n") != "y"
        ]
    release = version.split()[0]
    numbers = re.match(r"\d+\.\d+", release)
    return KernelUnderTest(
        name=str(path),
        version=numbers[0] if numbers else release,
        arch=arch,
        release=release,
        bzimage=bzimage,
        vmlinux=vmlinux_path,
        config=config_path,
        key="",
        source_version="",
        warnings=tuple(warnings),
    )


def check_options(options: dict[str, str]) -> list[str]:
    """What is wrong with a config, one line an option, each with what to set; empty if nothing."""
    problems = []
    for need in NEEDED:
        if need.only_32bit and options.get("64BIT") == "y":
            continue
        values = {name: options.get(name, "n") for name in (need.option, *need.either)}
        if need.at_least is not None:
            value = values[need.option]
            if not value.isdecimal() or int(value) < need.at_least:
                found = "is not set" if value == "n" else f"is {value}"
                problems.append(
                    f"set CONFIG_{need.option}={need.at_least} or more (it {found}): {need.reason}"
                )
        elif "y" not in values.values():
            names = " or ".join(f"CONFIG_{name}=y" for name in values)
            module = " (=m is not enough: no modules are loaded)" if "m" in values.values() else ""
            problems.append(f"set {names}{module}: {need.reason}")
    for option, reason in FORBIDDEN.items():
        if options.get(option) == "y":
            problems.append(f"unset CONFIG_{option}: {reason}")
    return problems


def _find_files(path: Path) -> tuple[Path, Path]:
    vmlinux = path / "vmlinux"
    candidates = (path / "arch/x86/boot/bzImage", path / "bzImage")
    bzimage = next((candidate for candidate in candidates if candidate.is_file()), None)
    missing = []
    if bzimage is None:
        missing.append("neither arch/x86/boot/bzImage (a build tree) nor bzImage")
    if not vmlinux.is_file():
        missing.append("no vmlinux (the ELF file at the top of a build tree)")
    if bzimage is None or missing:
        raise UserKernelError(f"{path}: not a kernel build tree that has been built:", missing)
    return bzimage, vmlinux


def _find_config(path: Path) -> tuple[Path | None, str | None]:
    for found in (path / ".config", path / "config", *sorted(path.glob("config-*"))):
        if found.is_file():
            return found, found.read_text(errors="replace")
    return None, None
