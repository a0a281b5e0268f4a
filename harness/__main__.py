# SPDX-License-Identifier: GPL-2.0-or-later
"""``python3 -m harness``: what the ``jumpback`` script starts."""

from harness.cli.main import run

if __name__ == "__main__":
    run()
