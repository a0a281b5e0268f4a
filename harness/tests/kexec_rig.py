# SPDX-License-Identifier: GPL-2.0-or-later
"""A loaded image without a kernel: RAM of a buffer, into which the model's own list and the
segments' bytes are written where a kernel would have put them.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from random import Random
from types import SimpleNamespace
from typing import cast

import jumpback_kimage
import jumpback_memory

from harness.kexec.allocation_trace import Allocation
from harness.kexec.calls import PAGE
from harness.kexec.guest_view import WORD, Conditions, GuestView
from harness.kexec.kimage_struct import ControlBlock, Kimage
from harness.kexec.list_checks import ListChecker
from harness.kexec.model import Model, Prediction
from harness.kexec.shapes import Shape, shapes
from harness.kexec.site import Site
from harness.machine import Life
from harness.results import Check

RAM = 64 << 20  # bytes
TABLES = 3  # page tables of an image; how many a kernel takes is not the model's to say

KERNELS = [
    ("5.10.262", "x86_64"),
    ("6.1.192", "x86_64"),
    ("6.12.117", "x86_64"),
    ("7.2.13", "x86_64"),
    ("7.3", "x86_64"),
    ("5.10.262", "i386"),
    ("6.1.192", "i386"),
]


def conditions(arch: str) -> Conditions:
    lowmem = 1 << 52 if arch == "x86_64" else RAM // PAGE
    return Conditions(RAM // PAGE, (0, 0), False, 0xC0000000, True, lowmem)


class FakeView(GuestView):
    """What the list checks and their faults want of a guest's RAM, and nothing else."""

    def __init__(self, arch: str) -> None:
        self.memory = mmap.mmap(-1, RAM)
        self.arch = arch
        self.word = WORD[arch]
        self.regions = [(0, 0, RAM)]
        self.buffer = memoryview(self.memory)
        self.ram = jumpback_memory.GuestRam(self.memory)
        self._life = cast(Life, SimpleNamespace(ram=SimpleNamespace(write=self.write)))

    def write(self, gpa: int, data: bytes) -> None:
        self.memory[gpa : gpa + len(data)] = data


class LoadedImage:
    """A shape as a kernel of ``release`` would hold it after kexec_load."""

    def __init__(self, release: str, arch: str, shape: Shape, random: Random) -> None:
        self.view = FakeView(arch)
        self.shape = shape
        self.model = Model(release, arch, conditions(arch))
        self.trace, self.made = _built(self.model, shape, random)
        assert not self.made.problem, self.made.problem
        for gpa, words in self.made.list_pages:
            for index, word in enumerate(words):
                self.view.write_word(gpa + index * self.view.word, word)
        self._write_sources()
        blocks = [ControlBlock(gpa // PAGE, 0) for gpa in self.made.control]
        self.image = Kimage(
            address=0,
            gpa=0,
            head=self.made.head,
            start=0,
            control_code=blocks[0],
            swap=blocks[1],
            control=tuple(blocks),
        )

    def _write_sources(self) -> None:
        """By the model's account of the moves, not by reading the list."""
        built = jumpback_kimage.build(
            self.model.release,
            self.model.arch,
            {"page_offset": self.model.conditions.page_offset},
            [(s.bufsz, s.mem, s.memsz) for s in self.shape.segments],
            [(item.first, item.order) for item in self.trace],
            self.model.conditions.lowmem_end,
            TABLES,
        )
        pages = [s.page(index) for s in self.shape.segments for index in range(s.pages)]
        assert len(pages) == len(built["moves"])
        for data, (_, source) in zip(pages, built["moves"]):
            self.view.write(source, data)

    def site(self, seed: int) -> Site:
        """For a fault that is about this image."""
        site = Site(Random(seed), self.view, self.model, self.shape, self.image)
        site.list_pages = [gpa for gpa, _ in self.made.list_pages]
        site.trace = list(self.trace)
        return site

    def checks(self, trace: Sequence[Allocation] | None = None) -> list[Check]:
        """``trace``: what the model is told; by default the truth."""
        told = self.trace if trace is None else trace
        checker = ListChecker(self.model, self.view, self.shape, self.image, 1)
        made = self.model.predict(self.shape.segments, told, TABLES)
        return [*checker.check(), checker.check_prediction(made, len(told))]


def _built(model: Model, shape: Shape, random: Random) -> tuple[list[Allocation], Prediction]:
    """Frames drawn at random, some of them destinations of the load; just as many as it takes."""
    entries = sum(1 + segment.pages for segment in shape.segments)
    destinations = [
        segment.mem // PAGE + index for segment in shape.segments for index in range(segment.pages)
    ]
    # Neither the first MiB nor the last two, where a fault points to. Even ones are free for the
    # control code page, of two frames in older kernels.
    low, high = 0x100, RAM // PAGE - 0x200
    drawn = random.sample(range(low, high), entries + 64)
    drawn += random.sample(destinations, len(destinations) // 4)
    drawn = sorted(set(drawn), key=lambda _: random.random())
    code = next(
        pfn
        for pfn in range(low, high, 2)
        if not {pfn, pfn + 1} & set(drawn) and not {pfn, pfn + 1} & set(destinations)
    )
    for order in (1, 0):
        trace = [Allocation(code, order, True), *(Allocation(pfn, 0, False) for pfn in drawn)]
        made = model.predict(shape.segments, trace, TABLES)
        if not made.problem:
            return trace[: made.used], made
    raise AssertionError(made.problem)


def loaded(release: str, arch: str, name: str, seed: int) -> LoadedImage:
    """The shape ``name`` of harness/kexec/shapes.py."""
    random = Random(seed)
    shape = next(each for each in shapes(RAM, random, WORD[arch]) if each.name == name)
    return LoadedImage(release, arch, shape, random)
