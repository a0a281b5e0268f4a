# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python module: names, attributes, errors. What they mean is tested in C++."""

from __future__ import annotations

import unittest

import jumpback_interrupts as ji


def running() -> ji.Machine:
    machine = ji.Machine("6.1.192", "x86_64")
    for name, value in {"SPIV": 0x1FF, "LVT0": 0x10700, "LVT1": 0x400, "TPR": 0x10}.items():
        machine[f"LAPIC {name}"] = value
    machine["8259 master vector base"] = 0x30
    machine["8259 master IMR"] = 0xFB
    return machine


class BindingTest(unittest.TestCase):
    def test_registers_by_name(self) -> None:
        machine = ji.Machine(ioapic_pins=[24, 8])
        machine["IOAPIC 1 RTE 7"] = 0x12345
        self.assertEqual(machine["IOAPIC 1 RTE 7"], 0x12345)
        self.assertEqual(machine.registers()["IOAPIC 1 RTE 7"], 0x12345)
        self.assertEqual(machine["IOAPIC 0 RTE 23"], 0x10000)
        with self.assertRaises(ji.InterruptModelError) as caught:
            machine["IOAPIC 1 RTE 8"] = 1
        self.assertEqual(caught.exception.where, "register 'IOAPIC 1 RTE 8'")
        self.assertIsInstance(caught.exception, ValueError)

    def test_arguments_are_checked(self) -> None:
        for arguments in (("6",), ("six.one",), ("6.1", "arm64"), ("6.1", "i386", "kvm")):
            with self.assertRaises(ji.InterruptModelError, msg=str(arguments)):
                ji.Machine(*arguments)
        with self.assertRaises(ji.InterruptModelError):
            ji.Machine(ioapic_pins=[1 << 40])
        machine = running()
        with self.assertRaises(ji.InterruptModelError):
            machine.call("clear_IOAPIC")
        with self.assertRaises(ji.InterruptModelError):
            machine.tick = "sundial"
        with self.assertRaises(ji.InterruptModelError):
            machine.saved_lapic = {"apic_lvt9": 1}
        with self.assertRaises(ji.InterruptModelError):
            ji.at_entry_of_b(machine, "leap")
        with self.assertRaises(ji.InterruptModelError):
            ji.with_fault(machine, "R99")

    def test_attributes(self) -> None:
        machine = running()
        machine.ioapic_i8259 = (0, 3)
        self.assertEqual(machine.ioapic_i8259, (0, 3))
        machine.ioapic_i8259 = None
        self.assertIsNone(machine.ioapic_i8259)
        machine.broadcast = "pit"
        self.assertEqual((machine.tick, machine.broadcast), ("lapic", "pit"))
        machine.saved_lapic = {"apic_lvt0": 0x700}
        self.assertEqual(machine.saved_lapic["apic_lvt0"], 0x700)
        self.assertEqual(machine.saved_lapic["apic_lvt1"], 0)
        machine.saved_rtes = [[1, 2]]
        self.assertEqual(machine.saved_rtes, [[1, 2]])
        machine.cached_irq_mask = 0xFFFA
        other = machine.copy()
        self.assertEqual(machine, other)
        other.cached_irq_mask = 0
        self.assertNotEqual(machine, other)

    def test_single_functions_make_the_whole(self) -> None:
        before = running()
        machine = before.copy()
        for step in ji.steps("jump", machine):
            machine.call(step)
        self.assertEqual(ji.compare(ji.at_entry_of_b(before), machine), [])
        machine = before.copy()
        for function in ("timekeeping_suspend", "save_ioapic_entries", "i8259A_suspend"):
            machine.call(function)
        for function in ("lapic_suspend", "clear_IO_APIC", "restore_boot_irq_mode"):
            self.assertIn(function, ji.functions())
            machine.call(function)
        self.assertEqual(ji.compare(ji.at_entry_of_b(before), machine), [])

    def test_differences_and_faults(self) -> None:
        before = running()
        found = ji.with_fault(before, "R9-lvt0")
        expectation = ji.at_entry_of_b(before)
        (difference,) = ji.compare(expectation, found)
        self.assertEqual(difference.register, "LAPIC LVT0")
        self.assertEqual((difference.expected, difference.found), (0x700, 0x10700))
        self.assertEqual(difference.step, "restore_boot_irq_mode: LVT0")
        self.assertIn("masked, ExtINT", str(difference))
        self.assertEqual(ji.explain(before, "jump", found), ["R9-lvt0"])
        self.assertIn("R9-lvt0", {fault.id for fault in ji.known_faults()})
        self.assertEqual(expectation.trace[-1][1], expectation.registers())
        self.assertEqual(ji.at_return_of_a(before).registers()["LAPIC SPIV"], 0x1FF)
        self.assertIn("LAPIC TMICT", ji.at_return_of_a(before).ignored)
        self.assertEqual(ji.differences(found, found), [])

    def test_tick(self) -> None:
        before = running()
        machine = before.copy()
        for step in ji.steps("jump", machine):
            machine.call(step)
        answer = ji.can_tick_reach(machine)
        self.assertEqual(answer.path, "LAPIC virtual wire")
        self.assertTrue(answer.open_to_pic)
        self.assertFalse(answer.ticks_now)
        self.assertEqual(answer.source, "none")
        self.assertIn("8259 master IMR bit 0 set (0xfb)", answer.obstacles)
        self.assertIn("IOAPIC 0 pin 2 is masked (0x10000)", answer.paths["IOAPIC direct"])
        self.assertEqual(ji.meaning("LAPIC SPIV", 0x10F), "enabled, vector 0xf")


if __name__ == "__main__":
    unittest.main(verbosity=2)
