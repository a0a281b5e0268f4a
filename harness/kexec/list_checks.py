# SPDX-License-Identifier: GPL-2.0-or-later
"""The page list of a loaded image, read out of guest RAM, against what its segments demand.

Three questions, each a check: is the list one that relocate_kernel can be trusted with; do its
source pages hold the segments' bytes; does it name the segments' destinations in order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from harness.kexec.calls import PAGE
from harness.kexec.guest_view import GuestView
from harness.kexec.kimage_struct import Kimage
from harness.kexec.model import Malformed, Model, Prediction, ReadList
from harness.kexec.shapes import Shape, entries_per_page
from harness.results import Check, Finding

ORACLE = "page-list"
LISTED = 16

WELL_FORMED = "page lists are well formed"
DESTINATIONS = "page lists name the segments' destinations"
CONTENT = "source pages hold the segments' bytes"
PREDICTED = "page lists are those predicted from the allocator's frames"


@dataclass(frozen=True)
class Place:
    """Where an entry of the list stands, and what it is for."""

    gpa: int | None  # of the word
    text: str  # "list page 0, word 5 (segment 1, page 3)"


class ListChecker:
    """Of one image; the machine stands still."""

    def __init__(
        self, model: Model, view: GuestView, shape: Shape, image: Kimage, life: int
    ) -> None:
        self._model = model
        self._view = view
        self._shape = shape
        self._image = image
        self._life = life
        self.stage = f"load {shape.name}"

    def check(self) -> list[Check]:
        read = self._model.read(self._view, self._image)
        if read.malformed is not None:
            return [self._malformed(read, read.malformed)]
        formed = Check(WELL_FORMED, ORACLE, True, compared=read.words)
        formed.detail = (
            f"{self._shape.name}: {read.words} words on {len(read.list_pages)} list page(s), "
            f"{len(self._image.kept)} control frame(s) apart"
        )
        # Where an entry is missing, contents differ from there on, destinations perhaps much later.
        return [formed, self._content(read), self._destinations(read)]

    def _finding(self, message: str, gpa: int | None, owner: str) -> Finding:
        pfn = None if gpa is None else gpa // PAGE
        text = f"{self._shape.name}: {message}"
        return Finding(ORACLE, self.stage, text, life=self._life, gpa=gpa, pfn=pfn, owner=owner)

    def _malformed(self, read: ReadList, bad: Malformed) -> Check:
        gpa, owner = None, "image->head"
        if bad.list_page is not None:
            gpa = bad.list_page + bad.index * self._view.word
            pages = [*read.list_pages, bad.list_page]
            number, full = pages.index(bad.list_page), entries_per_page(self._view.word)
            owner = f"list page {number}, its link"
            if bad.index < full:
                owner = self._place(number * full + bad.index, pages).text
        finding = self._finding(f"{bad.kind}: {bad.message}", gpa, owner)
        check = Check(WELL_FORMED, ORACLE, False, compared=read.words, findings=[finding])
        check.detail = finding.message
        return check

    def _place(self, entry: int, list_pages: list[int]) -> Place:
        """Of the entry number ``entry``, links not counted."""
        full = entries_per_page(self._view.word)
        page, word = divmod(entry, full)
        gpa = list_pages[page] + word * self._view.word if page < len(list_pages) else None
        return Place(gpa, f"list page {page}, word {word} ({self._purpose(entry)})")

    def _purpose(self, entry: int) -> str:
        for number, segment in enumerate(self._shape.segments):
            if entry == 0:
                return f"destination of segment {number}"
            if entry <= segment.pages:
                return f"segment {number}, page {entry - 1}"
            entry -= segment.pages + 1
        return "behind the last segment"

    def _expected_moves(self) -> list[tuple[int, int, int, int]]:
        """Entry number, segment, page, destination."""
        moves, entry = [], 0
        for number, segment in enumerate(self._shape.segments):
            entry += 1
            for page in range(segment.pages):
                moves.append((entry, number, page, segment.mem + page * PAGE))
                entry += 1
        return moves

    def _destinations(self, read: ReadList) -> Check:
        wanted = self._expected_moves()
        check = Check(DESTINATIONS, ORACLE, True, compared=len(wanted))
        for (entry, segment, page, destination), (found, _) in zip(wanted, read.moves):
            if destination != found:
                # The word to blame: the DESTINATION that set the cursor, if it is off from there.
                blamed = entry - 1 if page == 0 else entry
                place = self._place(blamed, read.list_pages)
                message = (
                    f"page {page} of segment {segment} goes to {found:#x}, "
                    f"the segment demands {destination:#x}"
                )
                check.findings.append(self._finding(message, place.gpa, place.text))
                break
        entries = sum(segment.pages + 1 for segment in self._shape.segments)
        ends_at = self._place(min(len(read.moves), len(wanted)), read.list_pages)
        if len(read.moves) != len(wanted):
            message = f"the list moves {len(read.moves)} pages, the segments have {len(wanted)}"
            check.findings.append(self._finding(message, ends_at.gpa, "the list's end"))
        empty = sum(segment.pages == 0 for segment in self._shape.segments)
        if read.lone != empty:
            message = f"{read.lone} DESTINATION words without a page, {empty} empty segments"
            check.findings.append(self._finding(message, ends_at.gpa, "the whole list"))
        # DONE, and a link for each list page that is not the last.
        full = entries + max(1, len(read.list_pages))
        if not check.findings and read.words != full:
            message = f"the list has {read.words} words, its entries, links and DONE are {full}"
            check.findings.append(self._finding(message, ends_at.gpa, "the whole list"))
        check.passed = not check.findings
        check.detail = check.findings[0].message if check.findings else f"{len(wanted)} pages"
        return check

    def _content(self, read: ReadList) -> Check:
        check = Check(CONTENT, ORACLE, True)
        differing = 0
        for (entry, segment, page, destination), (_, source) in zip(
            self._expected_moves(), read.moves
        ):
            want = self._shape.segments[segment].page(page)
            got = self._view.ram.page(source // PAGE)
            check.compared += 1
            if want == got:
                continue
            differing += 1
            if len(check.findings) == LISTED:
                continue
            first = next(i for i in range(PAGE) if want[i] != got[i])
            place = self._place(entry, read.list_pages)
            finding = Finding(
                ORACLE,
                self.stage,
                f"{self._shape.name}: page {page} of segment {segment} (to {destination:#x}) is "
                f"not what was loaded, from byte {first:#x} on; "
                f"its word is {self._word(place)} at GPA {place.gpa or 0:#x}",
                life=self._life,
                gpa=source + first,
                pfn=source // PAGE,
                owner=f"source page of {place.text}",
                expected=want[first : first + 16],
                found=got[first : first + 16],
                differing_bytes=sum(a != b for a, b in zip(want, got)),
            )
            check.findings.append(finding)
        check.passed = differing == 0
        check.detail = f"{differing} of {check.compared} pages differ" if differing else ""
        return check

    def _word(self, place: Place) -> str:
        if place.gpa is None:
            return "unknown"
        return f"{int.from_bytes(self._view.ram.read(place.gpa, self._view.word), 'little'):#x}"

    def check_prediction(self, made: Prediction, frames: int) -> Check:
        """``frames``: how many the kernel's allocator gave."""
        check = Check(PREDICTED, ORACLE, True)
        control = [block.first * PAGE for block in self._image.control]
        if made.problem:
            self._differs(check, f"no list can be built from its {frames} frames: {made.problem}")
        elif made.used != frames:
            self._differs(check, f"the model needs {made.used} of the {frames} frames it was given")
        elif made.head != self._image.head:
            self._differs(check, f"head: predicted {made.head:#x}, found {self._image.head:#x}")
        check.compared += 1
        for number, (want, got) in enumerate(zip(made.control, control)):
            check.compared += 1
            if want != got:
                name = ("control code page", "swap page")[number] if number < 2 else "page table"
                self._differs(check, f"{name}: predicted {want:#x}, found {got:#x}")
        if not made.problem and len(made.control) != len(control):
            self._differs(check, f"{len(made.control)} control pages, found {len(control)}")
        full = entries_per_page(self._view.word)
        for page, (gpa, words) in enumerate(made.list_pages):
            found = self._view.page_words(gpa)
            check.compared += len(words)
            for index, word in enumerate(words):
                if word != found[index] and len(check.findings) < LISTED:
                    place = self._place(page * full + index, [at for at, _ in made.list_pages])
                    message = f"word predicted {word:#x}, found {found[index]:#x}"
                    size = self._view.word
                    finding = self._finding(message, gpa + index * size, place.text)
                    self._add(check, finding, word, found[index])
        check.passed = not check.findings
        check.detail = (
            check.findings[0].message
            if check.findings
            else f"{self._shape.name}: {frames} frames, {made.moved} given up for their own place"
        )
        return check

    def _differs(self, check: Check, message: str) -> None:
        check.findings.append(self._finding(message, None, "struct kimage"))

    def _add(self, check: Check, finding: Finding, want: int, got: int) -> None:
        size = self._view.word
        check.findings.append(
            replace(
                finding, expected=want.to_bytes(size, "little"), found=got.to_bytes(size, "little")
            )
        )
