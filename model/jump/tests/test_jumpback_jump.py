# SPDX-License-Identifier: GPL-2.0-or-later
"""The Python module: names, errors, and a fault seen through it. The model is tested in C++."""

from __future__ import annotations

import unittest

import jumpback_jump as jj


class BindingTest(unittest.TestCase):
    def setUp(self) -> None:
        self.kernel = jj.Kernel("6.1.192-jumpback", "x86_64")
        self.failing = jj.Scenario("jump", "suspend-devices")

    def test_correct_trace_matches(self) -> None:
        for scenario in jj.scenarios(self.kernel):
            trace = jj.expected_trace(self.kernel, scenario)
            judged = jj.judge(self.kernel, scenario, trace)
            self.assertEqual((judged.outcome, judged.violations), ("match", []), str(scenario))
            self.assertIsNone(judged.divergence)

    def test_known_fault(self) -> None:
        trace = jj.expected_trace(self.kernel, self.failing, faults=["B4"])
        judged = jj.judge(self.kernel, self.failing, trace)
        self.assertEqual(judged.outcome, "known-fault")
        self.assertEqual([fault.code for fault in judged.faults], ["B4"])
        self.assertEqual(judged.faults[0].commit, "996afb6efd1a")
        self.assertTrue(judged.faults_known_here)
        self.assertTrue(judged.faults[0].known_in("6.12.117"))
        self.assertFalse(judged.faults[0].known_in("7.2"))
        self.assertEqual(judged.undone, ["devices stay suspended: dpm_resume_end never ran"])

    def test_divergence(self) -> None:
        steps = list(jj.expected_trace(self.kernel).steps)
        del steps[5]
        judged = jj.judge(self.kernel, jj.Scenario(), jj.Trace(steps, 0))
        self.assertEqual(judged.outcome, "divergence")
        assert judged.divergence is not None
        self.assertEqual((judged.divergence.kind, judged.divergence.position), ("missing", 5))
        self.assertIn("dpm_suspend_end", judged.divergence.expected)

    def test_traces_written_by_hand(self) -> None:
        trace = jj.Trace([jj.TraceStep("take-lock", -16)], -16)
        busy = jj.Scenario(failing="take-lock")
        self.assertEqual(jj.judge(self.kernel, busy, trace).outcome, "match")
        machine = jj.expected_machine_trace(self.kernel)
        self.assertEqual(jj.judge_machine(self.kernel, "jump", machine).outcome, "match")
        self.assertEqual(jj.judge_machine(self.kernel, "plain", machine).outcome, "divergence")

    def test_left_out_steps(self) -> None:
        bare = jj.Kernel("6.1", "i386", left_out=["prepare-console", "restore-console"])
        self.assertEqual(bare.left_out, ["prepare-console", "restore-console"])
        ids = [step.step for step in jj.expected_trace(bare).steps]
        self.assertNotIn("prepare-console", ids)
        self.assertEqual(jj.step_of_symbol("console_suspend_all"), "suspend-consoles")

    def test_errors_say_what_was_expected(self) -> None:
        for make, word in (
            (lambda: jj.Kernel("six"), "6.1.192"),
            (lambda: jj.Kernel("6.1", "sparc"), "i386"),
            (lambda: jj.Kernel("6.1", "i386", ["nothing"]), "nothing"),
            (lambda: jj.Scenario("up"), "plain"),
            (lambda: jj.Scenario(failing="thaw-processes"), "cannot fail"),
            (lambda: jj.Scenario(failing="freeze-processes", error=1), "errno"),
            (lambda: jj.TraceStep("dpm_suspend_start"), "dpm_suspend_start"),
            (lambda: jj.expected_trace(self.kernel, faults=["B99"]), "B12"),
        ):
            with self.assertRaisesRegex(ValueError, word):
                make()


if __name__ == "__main__":
    unittest.main()
