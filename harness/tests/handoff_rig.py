# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest that goes through kexec, watched at the functions that hand the interrupts over.

Built on fixtures/kexec/jump_once.c; everything is done from outside by breakpoints.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import jumpback_interrupts as ji
import pytest

import kernel
from harness.guest_image import GuestFile, build_guest
from harness.machine import Breakpoint, Life, Machine, MachineConfig, Panic
from harness.oracles.interrupt_model import UNSEEN, KernelVariables, saved_rtes_at
from harness.oracles.jump_interrupts import Controllers
from harness.paths import TREE
from harness.symbols import Symbols

SOURCES = TREE / "fixtures" / "kexec"
PAGE = 0x4000000  # guest physical, where the image's first page is entered
LIMIT = 60.0  # seconds a stage; usual: 2
KERNEL = os.environ.get("JUMPBACK_TEST_KERNEL", "6.1")

_FLAGS = ["-std=gnu17", "-O2", "-static", "-s", "-Wall", "-Wextra", "-Werror", "-D_GNU_SOURCE"]
_BITS = {"x86_64": "-m64", "i386": "-m32"}

# no_timer_check: on a busy host, under TCG, IRQ 0 may fail the kernel's own test of it at boot.
_COMMAND_LINE = (
    "console=ttyS0 nokaslr no_console_suspend no_timer_check panic=0 rdinit=/handoff-test"
)

_INIT = """#!/bin/busybox sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
for word in $(cat /proc/cmdline); do
    case $word in do=*) what=${word#do=};; esac
done
place=@PAGE@
[ $what = crash ] && place=0x$(sed -n 's/ *\\([0-9a-f]*\\)-.*Crash kernel/\\1/p' /proc/iomem)
[ -f /payload ] && file=/payload
/jump-once $what $place $file
echo "ENDED $?"
while :; do sleep 1; done
"""


@dataclass
class Guest:
    bzimage: Path
    initrd: Path
    arch: str
    release: str
    symbols: Symbols
    folder: Path
    word: int = field(init=False)

    def __post_init__(self) -> None:
        self.word = 8 if self.arch == "x86_64" else 4

    @contextlib.contextmanager
    def boot(
        self, what: str, *, cpus: int = 1, append: str = "", extra: Sequence[str] = ()
    ) -> Iterator[Watch]:
        """A life that stands still where its init is about to do ``what``."""
        config = MachineConfig(
            bzimage=self.bzimage,
            initrd=self.initrd,
            arch=self.arch,
            cpus=cpus,
            command_line=_COMMAND_LINE,
            extra_args=tuple(extra),
        )
        with Machine(config, self.folder / "run") as machine:
            life = machine.new_life(append=f"do={what} {append}")
            life.start()
            with life.stage("handoff", LIMIT):
                # What is told on the console lets the guest run on, and on a busy host past what
                # is to be watched.
                life.run_until_breakpoint(self.symbols.address("machine_kexec_prepare"))
                yield Watch(self, life, what)


def build(spec: str, arch: str, folder: Path, payload: Path | None = None) -> Guest:
    """The guest for kernel ``spec`` of the catalogue. ``payload``: image instead of the one page
    that returns at once."""
    rows = {(row.version, row.arch) for row in kernel.list_kernels()}
    if spec in {version for version, _ in rows} and (spec, arch) not in rows:
        pytest.skip(f"there is no {arch} kernel {spec} in the catalogue")
    tested = kernel.resolve(spec, arch)
    if tested.arch != arch:
        pytest.skip(f"{spec} is an {tested.arch} kernel")
    program, script = folder / "jump-once", folder / "init"
    source = SOURCES / "jump_once.c"
    subprocess.run(["gcc", *_FLAGS, _BITS[arch], "-o", str(program), str(source)], check=True)
    script.write_text(_INIT.replace("@PAGE@", hex(PAGE)))
    files = {"/handoff-test": GuestFile(script, 0o755), "/jump-once": GuestFile(program, 0o755)}
    if payload is not None:
        files["/payload"] = GuestFile(payload)
    guest = build_guest(arch, files=files)
    symbols = Symbols(tested.vmlinux)
    return Guest(tested.bzimage, guest.path, arch, tested.release, symbols, folder)


class Watch:
    """One life of it, standing still or not."""

    def __init__(self, guest: Guest, life: Life, what: str) -> None:
        self.guest = guest
        self.life = life
        self.kernel = KernelVariables(life, guest.symbols)
        # Guest physical, the image's entry; crashk_res.start comes first in it.
        self.page = self.kernel.number("crashk_res", guest.word) if what == "crash" else PAGE
        self.held: set[str] = set()  # breakpoints
        self.cpu = 0  # that stopped at the last one
        self._controllers = Controllers(life, guest.symbols, guest.release, guest.arch)
        self.labels: dict[str, int] = {"page": self.page}  # places without a symbol

    def capture(self, *, with_kernel: bool = False) -> ji.Machine:
        """``with_kernel``: with the kernel's facts; only where its page tables are in use."""
        return self._controllers.take(with_kernel=with_kernel)

    def monitor(self, command: str) -> str:
        return self._controllers.monitor(command)

    def address(self, name: str) -> int:
        return self.labels[name] if name in self.labels else self.guest.symbols.address(name)

    def run_to(self, *names: str) -> str:
        """Goes on to the first instruction of one of these functions or labels."""
        places = {self.address(name): name for name in names}
        with breakpoints(self, names):
            self.life.resume()
            while True:
                # A crash tells of itself on the console, too, before or after the breakpoint.
                event = self.life.wait((Breakpoint, Panic))
                if isinstance(event, Breakpoint):
                    self.cpu = event.cpu
                    return places[event.address]

    # Registers and stack of the CPU that stopped, at a function's first instruction

    def register(self, name: str) -> int:
        value = self.life.registers(self.cpu).general[name]
        return value & (1 << 8 * self.guest.word) - 1

    def set_register(self, name: str, value: int) -> None:
        self.life.write_register(self.cpu, name, value)

    def arguments(self, count: int) -> tuple[int, ...]:
        """The first ones, 32 bits each: in registers on both architectures."""
        order = ("rdi", "rsi", "rdx") if self.guest.word == 8 else ("rax", "rdx", "rcx")
        return tuple(self.register(name) & 0xFFFFFFFF for name in order[:count])

    def return_address(self) -> int:
        return self.kernel.at(self.register("rsp"), self.guest.word)

    def skip(self) -> None:
        """The function returns at once."""
        back = self.return_address()
        self.set_register("rsp", self.register("rsp") + self.guest.word)
        self.set_register("rip", back)

    def then_call(self, name: str) -> None:
        """Before the function's return comes that of ``name``, which takes no arguments."""
        top = self.register("rsp") - self.guest.word
        self.kernel.write(top, self.guest.symbols.address(name), self.guest.word)
        self.set_register("rsp", top)

    def call_instead(self, name: str) -> None:
        self.set_register("rip", self.guest.symbols.address(name))


def follow(
    watch: Watch, names: Sequence[str], last: str, at: Callable[[str], None] | None = None
) -> list[tuple[str, ji.Machine]]:
    """Captures at the entry of each of ``names``, in the order in which they come, up to ``last``,
    which comes last in the result. ``at``: called at each stop, may inject something."""
    seen: list[tuple[str, ji.Machine]] = []
    with breakpoints(watch, [*names, last]):
        while not seen or seen[-1][0] != last:
            name = watch.run_to(*names, last)
            seen.append((name, watch.capture()))
            if at is not None:
                at(name)
    return seen


@contextlib.contextmanager
def breakpoints(watch: Watch, names: Sequence[str]) -> Iterator[None]:
    """Set inside; those that were set before stay."""
    there = watch.held & set(names)
    for name in set(names) - there:
        watch.life.add_breakpoint(watch.address(name), name)
    watch.held |= set(names)
    yield
    watch.held -= set(names) - there
    for name in set(names) - there:
        watch.life.remove_breakpoint(watch.address(name))


def take_registers(model: ji.Machine, captured: ji.Machine) -> None:
    """What no capture shows stays as the model has it."""
    for name, value in captured.registers().items():
        if name not in UNSEEN:
            model[name] = value


def write_saved_rte(watch: Watch, pin: int, value: int) -> None:
    """Into the kernel's saved entries, which it writes back masked, and then as they are."""
    base, count = saved_rtes_at(watch.kernel)
    assert pin < count
    watch.kernel.write(base + 8 * pin, value, 8)


def spoil_saved_rtes(watch: Watch, fault: str) -> None:
    """At ioapic_resume(): what it restores is what a kernel with that fault would."""
    base, count = saved_rtes_at(watch.kernel)
    if fault == "R10-pin":
        watch.kernel.write(watch.address("ioapics"), count - 1, 4)
        return
    assert fault == "R10-mask"
    chip = watch.capture()
    for pin in range(count):
        masked = chip[f"IOAPIC 0 RTE {pin}"] & 1 << 16
        watch.kernel.write(base + 8 * pin, watch.kernel.at(base + 8 * pin, 8) | masked, 8)


class Caller:
    """Calls functions of the kernel that stands still, from where it stands. Interrupts must be
    off and no other CPU online; the life is good for nothing else afterwards."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._word = watch.guest.word
        registers = watch.life.registers(watch.cpu)
        assert not registers.eflags & 1 << 9, "interrupts are on"
        self._home = registers.rip
        # Below the stack in use, aligned as at a call.
        self._stack = (registers.sp - 1024) // 64 * 64 - self._word
        watch.labels["home"] = self._home
        watch.life.add_breakpoint(self._home, "home")
        watch.held.add("home")

    def call(self, name: str, *arguments: int) -> None:
        watch = self._watch
        order = ("rdi", "rsi", "rdx") if self._word == 8 else ("rax", "rdx", "rcx")
        for register, value in zip(order, arguments):
            watch.set_register(register, value)
        watch.kernel.write(self._stack, self._home, self._word)
        watch.set_register("rsp", self._stack)
        watch.set_register("rip", watch.guest.symbols.address(name))
        assert watch.run_to("home") == "home"
        assert watch.register("rsp") == self._stack + self._word, name
