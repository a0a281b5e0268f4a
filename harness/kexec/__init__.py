# SPDX-License-Identifier: GPL-2.0-or-later
"""The story of ``kexec-load``: the model of kexec_load held against a running kernel."""
