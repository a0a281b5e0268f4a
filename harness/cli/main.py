# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: one click group, one file a command."""

from __future__ import annotations

import importlib
import signal
import sys
import traceback
from typing import Any

import click

from harness.cli.output import outlive_readers
from harness.errors import JumpbackError, UsageError
from harness.verdict import ExitStyle, Verdict, exit_code
from kernel.errors import KernelError

# Commands are imported when asked for: `jumpback run` must not pay for the bench's imports.
_COMMANDS = {
    "demo": (
        "harness.cli.demo",
        "demo_command",
        "Run the main job on a real kernel, with a report.",
    ),
    "run": ("harness.cli.run", "run_group", "Run one scenario and prove its result."),
    "relocate-check": (
        "harness.cli.relocate",
        "relocate_check",
        "Run a vmlinux's own relocate_kernel against the model; boots nothing.",
    ),
    "sequence-check": (
        "harness.cli.sequence",
        "sequence_check",
        "Run a vmlinux's own kernel_kexec with failing steps; boots nothing.",
    ),
    "list": ("harness.cli.listing", "list_command", "List scenarios, their options and tampers."),
    "kernel": ("harness.cli.kernel", "kernel_group", "Build and list kernels under test."),
    "image": ("harness.cli.image", "image_group", "Look into hibernation images."),
    "report": ("harness.cli.report", "report_group", "Show earlier runs again, in any format."),
    "bench": ("harness.cli.bench", "bench_command", "Measure the rig: ratios and physical limits."),
    "doctor": ("harness.cli.doctor", "doctor_command", "Say what this machine can do."),
    "test": ("harness.cli.selftest", "test_command", "Run every test of this tree."),
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, attribute, _ = _COMMANDS[cmd_name]
        command: Any = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry[2]) for name, entry in _COMMANDS.items()])


@click.command(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("0.1.0", prog_name="jumpback")
def main() -> None:
    """jumpback runs real Linux kernels through kexec jump and hibernation, power-off, boot and
    resume, and proves from outside the guest that every page of memory is what a reference model
    says.

    \b
    First steps:
      jumpback demo                      the main job on a real 6.1, with a report
      jumpback run jump-kernel           from kernel to kernel and back (--help: its options)
      jumpback list                      all scenarios, and the faults that they must find
      jumpback relocate-check 6.1        the kernel's relocate_kernel, in seconds, without a boot
      jumpback doctor                    what this machine can do

    Exit codes: 0 pass, 1 fail, 2 usage, 3 known failure gone, 4 skip, 6 hang, 7 panic, 8 rig
    failed, 9 no kernel (docs/exit-codes.md; --exit-style: for kselftest and git bisect).
    """


def _terminated(signum: int, _frame: object) -> None:
    # A plain `kill` cleans up like Ctrl-C does.
    raise KeyboardInterrupt(signal.Signals(signum).name)


def run() -> None:
    """Entry point: turns our exceptions into one line and an exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # nohup means it
        signal.signal(signal.SIGHUP, _terminated)
    outlive_readers()
    try:
        main.main(prog_name="jumpback", standalone_mode=False)
    except click.exceptions.Exit as stop:
        sys.exit(stop.exit_code)
    except click.Abort:
        print("jumpback: interrupted", file=sys.stderr)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except UsageError as error:
        print(f"jumpback: {error}", file=sys.stderr)
        sys.exit(2)
    except KernelError as error:
        print(f"jumpback: {error}", file=sys.stderr)
        sys.exit(_exit_code(Verdict.BUILD))
    except JumpbackError as error:
        print(f"jumpback: {error}", file=sys.stderr)
        sys.exit(_exit_code(Verdict.INFRA))
    except KeyboardInterrupt:
        print("jumpback: interrupted; machines stopped, artifacts kept", file=sys.stderr)
        sys.exit(130)
    except Exception:
        # A bug of ours must not look like a failed proof (1), least of all to git bisect.
        traceback.print_exc()
        sys.exit(_exit_code(Verdict.INFRA))


def _exit_code(verdict: Verdict) -> int:
    """In the style that the command line asks for, if it got as far as naming one."""
    style = ExitStyle.PLAIN
    for word, value in zip(sys.argv, [*sys.argv[1:], ""]):
        chosen = word.removeprefix("--exit-style=") if "=" in word else value
        if word.startswith("--exit-style") and chosen in {known.value for known in ExitStyle}:
            style = ExitStyle(chosen)
    return exit_code(verdict, style, target_reached=False)
