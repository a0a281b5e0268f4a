# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python module: names, errors, patched kernels. The comparisons are tested in C++."""

from __future__ import annotations

import unittest

import jumpback_relocation as relocation

PAGE = 4096
FRAMES = 8


def ram(*filled: int, extents: list[tuple[int, int]] | None = None) -> relocation.Ram:
    """Frame i is full of filled[i]."""
    return relocation.Ram(b"".join(bytes([value]) * PAGE for value in filled), [], extents)


def places(**changed: object) -> relocation.Places:
    values: dict[str, object] = {
        "control_page": 4 * PAGE,
        "code_size": 2048,
        "saved_words": [(2048, 56)],
        "debug_gdt_span": (0, 0),
        "swap_page": 5 * PAGE,
        "table_root": 6 * PAGE,
        "table_pages": [6 * PAGE],
        "caller_stack_page": 1 * PAGE,
        "caller_stack_used": 0x800,
        "debug_gdt": (0, 0),
        "debug_idt": (0, 0),
    }
    return relocation.Places(**{**values, **changed})  # type: ignore[arg-type]


def cpu(**changed: object) -> relocation.CpuState:
    values: dict[str, object] = {
        "gpr": [0] * 16,
        "rip": 0,
        "rflags": 2,
        "cr0": 1 << 31 | 1,
        "cr3": 6 * PAGE,
        "cr4": 1 << 5,
        "gdtr": (0, 0),
        "idtr": (0, 0),
        "selectors": [0x10, 0x18, 0x18, 0x18, 0, 0],
    }
    return relocation.CpuState(**{**values, **changed})  # type: ignore[arg-type]


class MemoryTest(unittest.TestCase):
    def test_pages_that_changed_places(self) -> None:
        before, after = ram(*range(FRAMES)), ram(0, 7, 2, 3, 4, 5, 6, 1)
        moves = relocation.Moves([(1 * PAGE, 7 * PAGE), (2 * PAGE, 2 * PAGE)])
        found = relocation.compare_swapped(before, after, moves)
        self.assertEqual((found.compared, found.different), (FRAMES, 0))
        found = relocation.compare_swapped(
            before, after, relocation.Moves(), left_out=relocation.Frames([7])
        )
        self.assertEqual((found.compared, found.different), (FRAMES - 1, 1))
        (page,) = found.differences
        self.assertEqual((page.pfn, page.gpa, page.differing), (1, PAGE, PAGE))
        self.assertEqual((page.expected, page.found), (b"\1" * 16, b"\7" * 16))

    def test_what_is_not_resident_is_zero(self) -> None:
        before = ram(*range(FRAMES), extents=[(PAGE, 2 * PAGE)])
        after = ram(0, 1, 2, 0, 0, 0, 0, 0)
        self.assertEqual(relocation.compare_swapped(before, after, relocation.Moves()).different, 0)

    def test_frames(self) -> None:
        moves = relocation.Moves([(3 * PAGE, 1 * PAGE), (2 * PAGE, 2 * PAGE)])
        self.assertEqual(len(moves), 2)
        self.assertEqual(list(moves.destinations), [2, 3])
        self.assertEqual(list(moves.sources | relocation.Frames([7, 7])), [1, 2, 7])
        self.assertEqual(list(moves.destinations.others(ram(0, 1, 2, 3, 4))), [0, 1, 4])
        self.assertEqual((moves.source_of(3), moves.destination_of(3)), (1, None))
        self.assertIn(3, moves.destinations)
        self.assertNotIn(1, moves.destinations)

    def test_allowances_go_along_with_their_pages(self) -> None:
        kernel = relocation.Kernel("6.1.192", "x86_64")
        moves = relocation.Moves([(1 * PAGE, 3 * PAGE)])
        allowed = kernel.allowances(places(), "there", True)
        stack = next(each for each in allowed if each.rule == "caller-stack")
        self.assertEqual((stack.gpa, stack.length), (1 * PAGE, 0x800))
        followed = moves.follow(allowed)
        self.assertEqual(len(followed), len(allowed))
        moved = {each.rule: each.gpa for each in followed}
        self.assertEqual(moved["caller-stack"], 3 * PAGE)
        self.assertEqual(moved["swap-page"], 5 * PAGE)
        self.assertEqual({each.rule for each in allowed} - dict(relocation.rules()).keys(), set())

    def test_a_copy(self) -> None:
        copy, moves = relocation.FrameCopy(), relocation.Moves([(1 * PAGE, 3 * PAGE)])
        copy.take(ram(0, 9, 2, 3), moves)
        self.assertEqual((len(copy), copy.bytes), (1, PAGE))
        self.assertEqual(relocation.compare_copy(copy, ram(0, 1, 2, 9), moves).different, 0)
        self.assertEqual(relocation.compare_copy(copy, ram(0, 9, 2, 3), moves).different, 1)
        word = [relocation.Allowance("callee-stack", 3 * PAGE, 4)]
        copied = relocation.compare_copy(copy, ram(0, 1, 2, 8), moves, allowed=word)
        self.assertEqual(copied.differences[0].differing, PAGE - 4)
        self.assertEqual(copied.rule_pages["callee-stack"], 1)

    def test_errors(self) -> None:
        small = ram(0, 1)
        for moves in ([(PAGE, 9 * PAGE)], [(0, PAGE), (0, PAGE)]):
            with self.assertRaises(relocation.RelocationError) as caught:
                relocation.compare_swapped(small, small, relocation.Moves(moves))
            self.assertEqual(caught.exception.where[:5], "move ")
        with self.assertRaises(relocation.RelocationError):
            relocation.Allowance("no-such-rule", 0, 4)
        with self.assertRaises(relocation.RelocationError):
            relocation.Ram(bytes(100))


class KernelTest(unittest.TestCase):
    def test_generations(self) -> None:
        old, new = (relocation.Kernel(release, "x86_64") for release in ("6.1.192", "7.2.13"))
        self.assertEqual((old.abi, old.reentry_slot, old.saved_words_in_data), ("page_list", 0, 0))
        self.assertEqual((new.abi, new.reentry_slot, new.saved_words_in_data), ("flags", 1, 1))
        self.assertEqual(relocation.Kernel("5.10", "i386").abi, "stack")
        for release, arch in (("none", "x86_64"), ("6.1", "arm")):
            with self.assertRaises(relocation.RelocationError):
                relocation.Kernel(release, arch)

    def test_a_patched_kernel_is_held_to_what_its_patches_mend(self) -> None:
        fixed = ["gdt-not-reloaded", "no-reentry-slot"]
        stock, patched = relocation.Kernel("6.1", "i386"), relocation.Kernel("6.1", "i386", fixed)
        self.assertEqual((stock.reentry_slot, patched.reentry_slot), (False, True))
        self.assertEqual((stock.gdt_reloaded, patched.gdt_reloaded), (False, True))
        pages = {defect["page"] for defect in patched.defects}
        self.assertFalse(any(name in page for page in pages for name in fixed))
        way = {
            "at_call": cpu(),
            "callee": cpu(gdtr=(0x1234, 0x7F)),
            "found": cpu(gpr=[0, 0, 0, 0, 4] + [0] * 11, gdtr=(0x1234, 0x7F)),
            "saved_gdt": (0x5000, 0x7F),
            "return_address": 0,
            "reentry": 0,
        }
        (known,) = stock.check_return(**way)  # type: ignore[arg-type]
        self.assertEqual(known["item"], "gdtr.base")
        self.assertEqual((known["expected"], known["found"]), (0x5000, 0x1234))
        assert known["known"] is not None
        self.assertEqual(known["known"]["id"], "D1")
        (news,) = patched.check_return(**way)  # type: ignore[arg-type]
        self.assertIsNone(news["known"])
        assert news["resembles"] is not None
        self.assertEqual(news["resembles"]["id"], "D1")

    def test_the_callees_entry(self) -> None:
        kernel = relocation.Kernel("7.2", "x86_64")
        memory = bytearray(FRAMES * PAGE)
        memory[6 * PAGE - 16 : 6 * PAGE] = (0x4010).to_bytes(8, "little") + bytes([0, 0x20]) * 4
        start = int.from_bytes(bytes([0, 0x20]) * 4, "little")
        gpr = [0] * 16
        gpr[2], gpr[4] = start, 6 * PAGE - 16
        found = cpu(gpr=gpr, rip=start)
        check = {"start": start, "at_call": cpu(), "ram": relocation.Ram(bytes(memory))}
        entered = kernel.check_callee_entry(places(), found=found, **check)  # type: ignore
        self.assertEqual(entered, [])
        gpr[4] += 8
        spoilt = cpu(gpr=gpr, rip=start, cr4=1 << 5 | 1 << 7)
        entered = kernel.check_callee_entry(places(), found=spoilt, **check)  # type: ignore
        items = {each["item"]: each for each in entered}
        self.assertEqual(items.keys(), {"rsp", "return address", "cr4"})
        assert items["rsp"]["resembles"] is not None
        self.assertIn("no-reentry-slot", items["rsp"]["resembles"]["page"])


if __name__ == "__main__":
    unittest.main()
