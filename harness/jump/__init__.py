# SPDX-License-Identifier: GPL-2.0-or-later
"""Stories of the jump scenarios: a kernel is left by kexec and returned to, each stop proved."""
