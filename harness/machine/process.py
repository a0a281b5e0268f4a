# SPDX-License-Identifier: GPL-2.0-or-later
"""A child process that never outlives the rig."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.errors import InfraError, SkipError

STDERR_TAIL = 4096  # bytes of stderr that an error message quotes


class ChildProcess:
    """Runs ``argv``. ``on_exit(description)`` is called in a thread when it has ended.

    setpriv makes the kernel kill the child when the *thread* that started it ends, even by
    SIGKILL: start it from a thread that lives as long as the machine. A session of its own keeps
    the terminal's Ctrl-C away from it: the rig shall end it in its own order.
    """

    def __init__(
        self,
        argv: Sequence[str],
        stderr: Path,
        pass_fds: Sequence[int],
        on_exit: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.argv = list(argv)
        self.stderr = stderr
        self._on_exit = on_exit
        for program in ("setpriv", argv[0]):
            if shutil.which(program) is None:
                raise SkipError(f"{program} is not installed; Debian has it in {_package(program)}")
        try:
            with stderr.open("wb") as errors:
                self._process = subprocess.Popen(
                    ["setpriv", "--pdeathsig", "KILL", "--", *argv],
                    stdin=subprocess.DEVNULL,
                    stdout=errors,
                    stderr=errors,
                    pass_fds=pass_fds,
                    start_new_session=True,
                    env={**os.environ, **environment} if environment else None,
                )
        except OSError as error:
            raise InfraError(f"cannot start {argv[0]}: {error}") from error
        self._thread = threading.Thread(target=self._reap, name="reaper", daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._thread.is_alive()

    def kill(self) -> None:
        """SIGKILL, and waits for the end. Safe to call twice."""
        if self._thread.is_alive():
            self._process.send_signal(signal.SIGKILL)
        self.wait(10.0)

    def wait(self, timeout: float) -> bool:
        """False if it is still running after ``timeout`` seconds."""
        if self._thread is not threading.current_thread():
            self._thread.join(timeout)
        return not self._thread.is_alive()

    def stderr_tail(self) -> str:
        try:
            return self.stderr.read_bytes()[-STDERR_TAIL:].decode("utf-8", "replace").strip()
        except OSError:
            return ""

    def _reap(self) -> None:
        status = self._process.wait()
        self._on_exit(describe_status(status))


def _package(program: str) -> str:
    return "qemu-system-x86" if program.startswith("qemu-system-") else "util-linux"


def describe_status(status: int) -> str:
    """A ``Popen.returncode`` in words."""
    if status >= 0:
        return f"exit status {status}"
    try:
        return f"killed by {signal.Signals(-status).name}"
    except ValueError:
        return f"killed by signal {-status}"
