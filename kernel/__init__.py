# SPDX-License-Identifier: GPL-2.0-or-later
"""Kernels under test: the catalogue, the builder and its cache, and the user's own kernels.

Depends on nothing else of this project. docs/kernels.md tells how to add a version.
"""

from kernel.builder import build
from kernel.cache import Cache
from kernel.catalogue import Row, Variant, find, load, load_variants
from kernel.debian import extract, fetch_package, host_suite
from kernel.errors import KernelError
from kernel.progress import Lines, Progress, Silent
from kernel.selection import Listed, State, list_kernels, prune, resolve
from kernel.under_test import KernelUnderTest
from kernel.user import load_user_kernel

__all__ = [
    "Cache",
    "KernelError",
    "KernelUnderTest",
    "Lines",
    "Listed",
    "Progress",
    "Row",
    "Silent",
    "State",
    "Variant",
    "build",
    "extract",
    "fetch_package",
    "find",
    "host_suite",
    "list_kernels",
    "load",
    "load_user_kernel",
    "load_variants",
    "prune",
    "resolve",
]
