# SPDX-License-Identifier: GPL-2.0-or-later
"""relocate-check: what is run on a kernel's relocate_kernel, how it is judged and told."""
