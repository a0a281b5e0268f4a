# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine of a jump, and what becomes of a run whose guest ends or breaks: a failed check."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from harness.context import RunContext
from harness.errors import GuestBroken, SkipError
from harness.guest_link import GuestLink, guest_up
from harness.hibernation.notes import note_end
from harness.jump.kexec_tools import KEXEC_TOOLS, kexec_tools_files
from harness.jump.loader import build_guests
from harness.jump.options import JumpOptions, command_line
from harness.jump.proof import NotReached
from harness.jump.side import CPU_ORACLE
from harness.jump.sockets import one_cpu_a_socket
from harness.jump.window_fit import require_room
from harness.kexec.kimage_struct import BadKimage
from harness.machine import Life, Machine, MachineConfig, UnexpectedEnd
from harness.machine.snapshot_store import SnapshotStore
from harness.results import Check, Finding

# In every kernel with CONFIG_KEXEC_JUMP=y that can show its memory to the next one.
_NEEDED = ("kexec_image", "relocate_kernel", "restore_processor_state")


def require_jump(context: RunContext) -> None:
    """Raises SkipError where the kernel cannot jump."""
    missing = [name for name in _NEEDED if not context.symbols.all(name)]
    config = context.kernel.config
    without = config is not None and "\nCONFIG_KEXEC_JUMP=y\n" not in config.read_text()
    if missing or without:
        why = f"no {', '.join(missing)}" if missing else "CONFIG_KEXEC_JUMP is not set"
        raise SkipError(f"kernel {context.kernel.release} cannot jump: {why} (CONFIG_KEXEC_JUMP=y)")


def jump_machine(
    context: RunContext, options: JumpOptions, disks: tuple[Path, ...] = ()
) -> MachineConfig:
    """A's machine: B's kernel and initramfs stand in A's. Raises UsageError if B cannot fit."""
    arch = context.kernel.arch
    tools = kexec_tools_files(arch, context.progress) if options.loader == KEXEC_TOOLS else {}
    bzimage = context.kernel.bzimage
    initrd, other = build_guests(arch, bzimage, context.progress, tools)
    require_room(bzimage, other, options.window, context.options.memory_mib << 20)
    return MachineConfig(
        bzimage=bzimage,
        initrd=initrd,
        command_line=command_line(context, options),
        arch=arch,
        memory_mib=context.options.memory_mib,
        cpus=context.options.cpus,
        accelerator=context.accelerator,
        disks=disks,
        extra_args=() if options.acpi else one_cpu_a_socket(context.options.cpus),
    )


def run_story(
    context: RunContext, config: MachineConfig, tell: Callable[[Life], None], done: list[str]
) -> None:
    """One life in which ``tell`` tells the story; it has been started, and stands still before its
    first instruction. ``done``: what tampers did, for the report."""

    def begin(machine: Machine) -> None:
        life = machine.new_life(f"{context.random.getrandbits(64):016x}")
        life.start()
        tell(life)

    _in_machine(context, config, begin, done)


class Prepared(Protocol):
    """What is done in a guest before it is saved. ``point`` says in words what, and changes with
    it."""

    @property
    def point(self) -> str:
        ...

    def prepare(self, link: GuestLink) -> None:
        ...


def run_booted_story(
    context: RunContext,
    config: MachineConfig,
    prepared: Prepared,
    tell: Callable[[GuestLink], None],
    done: list[str],
) -> None:
    """The same, of a guest that is up, prepared and stands still: booted once, and restored in
    every later run that asks for the same."""
    store = SnapshotStore(note=context.progress.note)

    def begin(machine: Machine) -> None:
        tell(
            guest_up(
                machine,
                store,
                time_scale=context.options.time_scale,
                point=prepared.point,
                prepare=prepared.prepare,
            )
        )

    _in_machine(context, config, begin, done)


def _in_machine(
    context: RunContext, config: MachineConfig, begin: Callable[[Machine], None], done: list[str]
) -> None:
    with Machine(config, context.folder, context.started, context.symbols.text) as machine:
        context.result.lives = machine.records
        try:
            begin(machine)
        except UnexpectedEnd as end:
            _fail(context, "life", "the machine goes on", str(end).split("\n")[0])
        except GuestBroken as error:
            _fail(context, "workload", "the guest's programs work", str(error))
        except BadKimage as error:
            _fail(context, CPU_ORACLE, "the image that is loaded can be read", str(error))
        except NotReached:
            pass  # the check that says why is recorded
        finally:
            note_end(context.result, done)


def _fail(context: RunContext, oracle: str, name: str, message: str) -> None:
    record = context.result.lives[-1]
    stages = [stage.name for stage in record.stages if stage.end is None]
    stage = stages[-1].split(" ")[0] if stages else ""
    finding = Finding(oracle, stage, message, life=record.index)
    context.record(Check(name, oracle, False, detail=message, findings=[finding]))
