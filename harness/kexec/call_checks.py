# SPDX-License-Identifier: GPL-2.0-or-later
"""Calls whose answers are judged: made by hand and at random, on a kernel in every state that
decides of an answer.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from harness.kexec.answers import LISTED, check_answers
from harness.kexec.calls import Call
from harness.kexec.kimage_struct import BadKimage, installed, read_kimage
from harness.kexec.list_checks import ORACLE
from harness.kexec.model import CallState
from harness.kexec.orders import order_calls
from harness.kexec.random_calls import random_calls
from harness.kexec.session import Made, Session
from harness.kexec.shapes import Shape, shapes
from harness.kexec.table import edge_calls, few_calls, helper_calls
from harness.results import Check

CALLS = "calls return what the model says"
REFUSED = "refused calls leave the loaded image alone"
LIMIT_FILES = "/proc/sys/kernel/kexec_load_limit_"
LIMIT, CRASH_LIMIT = 5, 1  # calls; fewer than few_calls() makes of either kind


class CallChecks:
    def __init__(self, session: Session) -> None:
        self._session = session

    def run(self) -> None:
        session, room = self._session, self._session.room
        for tamper in session.options.tampers:
            tamper.at_calls(session.site)
        refused: list[Call] = []
        accepted: list[Call] = []
        for call in (*edge_calls(room), *order_calls(room)):
            good = session.model.answer(call, CallState()).error == "0"
            (accepted if good else refused).append(call)
        made = self._refused(refused)
        made += session.make(accepted)
        made += session.make(random_calls(room, session.context.random, session.options.calls))
        made += session.make(helper_calls())
        for variable, state in (
            ("kexec_load_disabled", CallState(disabled=True)),
            ("__kexec_lock", CallState(locked=True)),  # a mutex before 6.1 and its stable backports
        ):
            if session.view.symbols.all(variable):
                with self._variable(variable, 1):
                    made += session.make(few_calls(room), state)
        session.site.answers = [got for _, _, got in made]
        for tamper in session.options.tampers:
            tamper.at_answers(session.site)
        self.judge(
            "calls",
            [(call, want, got) for (call, want, _), got in zip(made, session.site.answers)],
        )

    def load_limit(self) -> None:
        """To be made last, as the limit can only be lowered (6.3 and later)."""
        session = self._session
        for name, limit in (("reboot", LIMIT), ("panic", CRASH_LIMIT)):
            if session.agent.run(f"echo {limit} > {LIMIT_FILES}{name}").exit != 0:
                session.context.result.properties["load_limit"] = "this kernel has none"
                return
        state = CallState(limit=LIMIT, crash_limit=CRASH_LIMIT)
        self.judge("limit", session.make(few_calls(session.room), state))

    def judge(self, stage: str, made: list[Made]) -> None:
        began = time.monotonic()
        check = check_answers(CALLS, stage, self._session.life_number, made)
        check.seconds = time.monotonic() - began
        self._session.record(check)

    def _refused(self, calls: Sequence[Call]) -> list[Made]:
        """Makes them while an image is loaded, which must be the same after all of them."""
        session = self._session
        view = session.view
        keeper = next(
            shape
            for shape in shapes(view.ram_bytes, session.context.random, view.word)
            if len(shape.segments) > 1
        )
        load = session.make([keeper.call])
        with session.life.paused():
            before = self._image_words(keeper)
        made = session.make(calls)
        with session.life.paused():
            session.site.list_pages = [gpa for gpa, _ in before[1:]]
            for tamper in session.options.tampers:
                tamper.at_refused(session.site)
            after = self._image_words(keeper)
            session.site.undo()
        check = Check(REFUSED, ORACLE, bool(before) and before == after)
        check.compared = sum(len(words) for _, words in before)
        check.detail = f"{check.compared} words of it after {len(calls)} refused calls"
        for number, ((gpa, old), (_, new)) in enumerate(zip(before, after)):
            for index, (want, got) in enumerate(zip(old, new)):
                if want != got and len(check.findings) < LISTED:
                    part = f"list page {number - 1}" if number else "struct kimage"
                    message = f"the loaded image changed: expected {want:#x}, found {got:#x}"
                    finding = session.finding(ORACLE, "calls", message, gpa + index * view.word)
                    check.findings.append(replace(finding, owner=f"{part}, word {index}"))
        if not check.passed and not check.findings:
            message = "the loaded image is not the one that was loaded before the refused calls"
            check.findings.append(session.finding(ORACLE, "calls", message))
        session.record(check)
        return load + made

    def _image_words(self, shape: Shape) -> list[tuple[int, list[int]]]:
        """The installed image's own words, then those of its list pages; nothing if it is gone."""
        session = self._session
        view = session.view
        address = installed(view)
        if address == 0:
            return []
        gpa = view.kernel.translate(address)[0]
        words = [(gpa, view.words(address, 8 + 4 * len(shape.segments)))]
        with contextlib.suppress(BadKimage):
            image = read_kimage(view, address, shape.call)
            pages = session.model.read(view, image).list_pages
            words += [(page, view.page_words(page)) for page in pages]
        return words

    @contextlib.contextmanager
    def _variable(self, symbol: str, value: int) -> Iterator[None]:
        """An int of the kernel's is changed from outside for a while."""
        session = self._session
        with session.life.paused():
            old = session.view.variable(symbol, 4)
            session.view.write_variable(symbol, value)
        try:
            yield
        finally:
            with session.life.paused():
                session.view.write_variable(symbol, old)
