# SPDX-License-Identifier: GPL-2.0-or-later
"""Standard output whose reader may go away (``jumpback … | head``)."""

from __future__ import annotations

import io
import sys


class _Lenient(io.FileIO):
    """Takes what nobody reads any more: the exit code is still the verdict's, not the pipe's."""

    def write(self, data: object, /) -> int:
        try:
            return super().write(data)  # type: ignore[arg-type]
        except BrokenPipeError:
            return len(memoryview(data))  # type: ignore[arg-type]


def outlive_readers() -> None:
    """From now on writing to a closed pipe is no error."""
    old = sys.stdout
    if not isinstance(old, io.TextIOWrapper):
        return  # closed, or a test's
    old.flush()
    sys.stdout = io.TextIOWrapper(
        io.BufferedWriter(_Lenient(old.fileno(), "w", closefd=False)),
        encoding=old.encoding,
        errors=old.errors,
        line_buffering=old.line_buffering,
    )
