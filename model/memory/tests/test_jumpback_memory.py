# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python module: buffers without copies, results, errors. What they mean is tested in C++."""

from __future__ import annotations

import mmap
import unittest
from array import array
from typing import Any

import jumpback_memory as jm

PAGE = 4096


class BindingTest(unittest.TestCase):
    def setUp(self) -> None:
        self.left = bytearray(8 * PAGE)
        self.right = bytearray(8 * PAGE)

    def test_regions_and_reads(self) -> None:
        self.left[PAGE] = 7
        ram = jm.GuestRam(self.left, [(1 << 32, PAGE, PAGE), (0, 0, PAGE)])
        self.assertEqual(ram.frames, 2)
        self.assertEqual(ram.end_pfn, (1 << 20) + 1)
        self.assertEqual(ram.read(1 << 32, 2), b"\x07\x00")
        self.assertEqual(ram.page(1 << 20)[0], 7)
        self.assertIn(0, ram)
        self.assertNotIn(1, ram)

    def test_errors_name_the_place(self) -> None:
        with self.assertRaises(jm.MemoryModelError) as caught:
            jm.GuestRam(self.left).read(8 * PAGE, 1)
        self.assertEqual(caught.exception.where, "GPA 0x8000")
        self.assertIn("is not RAM", caught.exception.what)
        self.assertIsInstance(caught.exception, ValueError)
        with self.assertRaises(jm.MemoryModelError):
            jm.GuestKernel(jm.GuestRam(self.left), {}, "sparc", cr3=0, cr0=0, cr4=0, efer=0)
        with self.assertRaises(jm.MemoryModelError):
            jm.GuestKernel(jm.GuestRam(self.left), {}, "i386", cr3=0, cr0=1 << 31, cr4=0, efer=0)

    def test_compare_ram_with_rules(self) -> None:
        self.right[3 * PAGE + 5] = 1
        self.right[4 * PAGE] = 0x21
        out = jm.compare_ram(
            jm.GuestRam(self.left),
            jm.GuestRam(self.right),
            exceptions=[(3 * PAGE, 8, 1), (4 * PAGE, 1, 2, 0x20), (0, 1, 3)],
        )
        self.assertEqual((out.compared, out.equal, out.excused, out.different), (8, 6, 1, 1))
        self.assertEqual(out.rule_pages, {1: 1, 2: 0, 3: 0})
        (difference,) = out.differences
        self.assertEqual((difference.pfn, difference.offset, difference.gpa), (4, 0, 4 * PAGE))
        self.assertEqual((difference.expected[0], difference.found[0]), (0, 0x21))
        with self.assertRaises(TypeError):
            short: list[Any] = [(1, 2)]
            jm.compare_ram(jm.GuestRam(self.left), jm.GuestRam(self.right), exceptions=short)

    def test_compare_image(self) -> None:
        self.right[2 * PAGE : 3 * PAGE] = b"x" * PAGE
        ram = jm.GuestRam(self.right)
        pfns = array("Q", [2, 5])
        out = jm.compare_image(pfns, b"x" * PAGE, ram, zero_flags=b"\0\1")
        self.assertEqual(out.equal, 2)
        out = jm.compare_image(pfns, b"y" * PAGE, ram, zero_flags=b"\0\1")
        self.assertEqual(out.different, 1)
        self.assertEqual(out.differences[0].differing, PAGE)
        with self.assertRaises(jm.MemoryModelError):
            jm.compare_image(pfns, b"x" * PAGE, ram)
        with self.assertRaises(TypeError):
            jm.compare_image(array("I", [2, 5]), b"x" * PAGE, ram)

    def test_coverage(self) -> None:
        coverage = jm.check_coverage(array("Q", [1, 2, 3]), array("Q", [3, 3, 9]))
        self.assertEqual(list(coverage.missing), [1, 2])
        self.assertEqual(list(coverage.surplus), [9])
        self.assertEqual(list(coverage.duplicates), [3])

    def test_buffer_lives_as_long_as_the_view(self) -> None:
        memory = mmap.mmap(-1, PAGE)
        ram = jm.GuestRam(memory)
        with self.assertRaises(BufferError):
            memory.close()
        self.assertEqual(ram.frames, 1)
        del ram
        memory.close()


if __name__ == "__main__":
    unittest.main()
