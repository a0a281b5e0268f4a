# SPDX-License-Identifier: GPL-2.0-or-later
"""Loads whose page lists are read while the machine stands still, some with their frames traced."""

from __future__ import annotations

import contextlib
import time

from harness.kexec.allocation_trace import AllocationTrace
from harness.kexec.answers import check_answers
from harness.kexec.call_checks import CALLS
from harness.kexec.kimage_struct import BadKimage, Kimage, installed, read_kimage
from harness.kexec.list_checks import ORACLE, WELL_FORMED, ListChecker
from harness.kexec.session import UNLOAD, Made, Session
from harness.kexec.shapes import Shape, overlapping, probe, shapes
from harness.kexec.tampers import KexecTamper
from harness.results import Check

TRIES = 5  # of a load over frames that the allocator gives again


class LoadChecks:
    def __init__(self, session: Session) -> None:
        self._session = session
        self._trace = AllocationTrace(session.life, session.view)

    def run(self) -> None:
        view = self._session.view
        for shape in shapes(view.ram_bytes, self._session.context.random, view.word):
            self._load(shape)
        # Which frames come next is the allocator's affair: now and then it has others.
        for _ in range(TRIES):
            over = self._overlapping()
            if over is None:
                return
            self._load(over)
            if self._session.given_up:
                return

    def _overlapping(self) -> Shape | None:
        """A load that lies where the frames of another one were, just before."""
        session, view = self._session, self._session.view
        call = probe(view.ram_bytes)
        with session.stage("load", call.name):
            session.make([UNLOAD])
            if not self._loaded(call.name, session.make([call])):
                return None
            with session.life.paused():
                try:
                    image = read_kimage(view, installed(view), call)
                except BadKimage as error:
                    self._no_image(call.name, error)
                    return None
                sources = [source for _, source in session.model.read(view, image).moves]
            session.make([UNLOAD])
        return overlapping(sources, view.ram_bytes, session.context.random)

    def _load(self, shape: Shape) -> None:
        session = self._session
        trace = self._trace if shape.traced or session.options.trace_all else None
        with session.stage("load", shape.name):
            with trace.armed() if trace is not None else contextlib.nullcontext():
                made = session.make([shape.call])
            if not self._loaded(shape.name, made):
                return
            with session.life.paused():
                self._check(shape, trace)
                session.site.undo()

    def _loaded(self, name: str, made: list[Made]) -> bool:
        ((_, want, got),) = made
        if got == "0" == want.error:
            return True
        session = self._session
        session.record(check_answers(CALLS, f"load {name}", session.life_number, made))
        return False

    def _tampers(self, shape: Shape) -> list[KexecTamper]:
        return [each for each in self._session.options.tampers if each.shape == shape.name]

    def _check(self, shape: Shape, trace: AllocationTrace | None) -> None:
        session, view = self._session, self._session.view
        began = time.monotonic()
        try:
            image = read_kimage(view, installed(view), shape.call)
        except BadKimage as error:
            self._no_image(shape.name, error)
            return
        for tamper in self._tampers(shape):
            session.site.shape, session.site.image = shape, image
            session.site.list_pages = session.model.read(view, image).list_pages
            tamper.at_loaded(session.site)
        checker = ListChecker(session.model, view, shape, image, session.life_number)
        checks = checker.check()
        if trace is not None:
            checks.append(self._predict(shape, image, checker, trace))
        for check in checks:
            check.seconds = (time.monotonic() - began) / len(checks)
            session.record(check)

    def _no_image(self, load: str, error: BadKimage) -> None:
        finding = self._session.finding(ORACLE, f"load {load}", str(error))
        self._session.record(Check(WELL_FORMED, ORACLE, False, findings=[finding]))

    def _predict(
        self, shape: Shape, image: Kimage, checker: ListChecker, trace: AllocationTrace
    ) -> Check:
        session = self._session
        frames = list(trace.allocations)
        for tamper in self._tampers(shape):
            session.site.trace = frames
            tamper.at_trace(session.site)
        # Code page and swap page come first; the rest are page tables.
        made = session.model.predict(shape.segments, frames, max(0, len(image.control) - 2))
        session.given_up += made.moved
        return checker.check_prediction(made, len(frames))
