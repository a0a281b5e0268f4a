# SPDX-License-Identifier: GPL-2.0-or-later
"""What the racing calls of jump-race answered, and whether any order of them explains it. Pure.

One image is loaded or none is. A round's calls overlap, so nobody knows their order; but each took
effect at some moment between its begin and its end, and a thread's calls follow each other. If no
order exists in which every answer is right, an image was lost, or was there when it could not be.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

LOAD, UNLOAD, EXEC = "l", "u", "x"
NAMES = {LOAD: "kexec_load", UNLOAD: "unload", EXEC: "reboot(KEXEC)"}

# kexec_load(2) and kernel_kexec(): EBUSY, somebody else holds __kexec_lock; EINVAL, no image.
_MAY = {
    LOAD: (0, errno.EBUSY),
    UNLOAD: (0, errno.EBUSY),
    EXEC: (0, errno.EBUSY, errno.EINVAL),
}


@dataclass(frozen=True)
class Answer:
    """``begin``, ``end``: ns of the guest's CLOCK_MONOTONIC, around the system call."""

    what: str
    thread: int
    begin: int
    end: int
    error: int

    def overlaps(self, other: Answer) -> bool:
        return self.begin <= other.end and other.begin <= self.end

    def __str__(self) -> str:
        how = errno.errorcode.get(self.error, str(self.error)) if self.error else "success"
        return f"{NAMES[self.what]} of thread {self.thread}: {how}"


@dataclass
class Round:
    number: int
    answers: list[Answer] = field(default_factory=list)
    loaded: bool | None = None  # after it, by the kernel's own word
    quiet: list[tuple[str, int]] = field(default_factory=list)  # undisturbed calls, errno


class BadAnswers(Exception):
    """What the guest's program printed is no account of its rounds."""


def parse(text: str, first: int, rounds: int) -> list[Round]:
    """jb-race's lines (fixtures/kexec/race/main.c). Raises BadAnswers."""
    found = {number: Round(number) for number in range(first, first + rounds)}
    lines = text.splitlines()
    if not lines or lines[-1] != f"done {rounds}":
        raise BadAnswers(f"jb-race: 'done {rounds}' was expected, found {lines[-1:]}")
    for line in lines[:-1]:
        try:
            kind, *words = line.split()
            each = found[int(words[0])]
            if kind == "o":
                thread, what, begin, end, error = words[1:]
                numbers = int(begin), int(end), int(error)
                each.answers.append(Answer(_kind(what), int(thread), *numbers))
            elif kind == "s":
                each.loaded = {"0": False, "1": True}[words[1]]
            elif kind == "q":
                each.quiet.append((_kind(words[1]), int(words[2])))
            else:
                raise BadAnswers(f"jb-race: {line!r} is no answer")
        except (KeyError, ValueError, IndexError) as error:
            raise BadAnswers(f"jb-race: {line!r} is no answer") from error
    for each in found.values():
        if each.loaded is None or not each.answers:
            raise BadAnswers(f"jb-race: round {each.number} is not whole")
    return list(found.values())


def _kind(letter: str) -> str:
    """Raises KeyError."""
    if letter not in NAMES:
        raise KeyError(letter)
    return letter


def problems_of(each: Round, loaded: bool) -> Iterator[str]:
    """``loaded``: an image was, before the round."""
    wrong = [answer for answer in each.answers if answer.error not in _MAY[answer.what]]
    for answer in wrong:
        allowed = ", ".join(_name(error) for error in _MAY[answer.what])
        yield f"round {each.number}: {answer}; {allowed} may come"
    for answer in each.answers:
        others = (other for other in each.answers if other is not answer)
        if answer.error == errno.EBUSY and not any(answer.overlaps(other) for other in others):
            yield f"round {each.number}: {answer}, though nobody else was at it"
    if not wrong:
        ends = ends_of(each.answers, loaded)
        before = "an image was" if loaded else "no image was"
        if not ends:
            yield (
                f"round {each.number}: {before} loaded before it, and no order of the calls "
                f"explains their answers: {_list(each.answers)}"
            )
        elif each.loaded not in ends:
            now = "is" if each.loaded else "is none"
            yield (
                f"round {each.number}: {before} loaded before it, and after every order of the "
                f"calls that explains their answers the opposite must be, but there {now} now: "
                f"{_list(each.answers)}"
            )
    for what, error in each.quiet:
        if error:
            yield (
                f"round {each.number}: an undisturbed {NAMES[what]}"
                f"{' of a loaded image' if what == EXEC else ''} answered {_name(error)}"
            )


def ends_of(answers: Sequence[Answer], loaded: bool) -> set[bool]:
    """Whether an image is loaded after the calls: all that is possible; empty: no order fits.

    Calls that were turned away stand wherever they like: what they are between has its order
    without them. They are most of many loaders' calls, and the search grows with the product of
    the threads' calls.
    """
    threads: dict[int, list[Answer]] = {}
    effective = (answer for answer in answers if answer.error != errno.EBUSY)
    for answer in sorted(effective, key=lambda each: each.begin):
        threads.setdefault(answer.thread, []).append(answer)
    rows = list(threads.values())
    seen: set[tuple[tuple[int, ...], bool]] = set()
    ends: set[bool] = set()
    todo = [((0,) * len(rows), loaded)]
    while todo and len(ends) < 2:
        state = todo.pop()
        if state in seen:
            continue
        seen.add(state)
        at, image = state
        waiting = [row[index] for row, index in zip(rows, at) if index < len(row)]
        if not waiting:
            ends.add(image)
        for number, (row, index) in enumerate(zip(rows, at)):
            if index == len(row):
                continue
            # What ended before this one began has come before it.
            if any(other.end < row[index].begin for other in waiting):
                continue
            following = _after(row[index], image)
            if following is not None:
                todo.append((at[:number] + (index + 1,) + at[number + 1 :], following))
    return ends


def _after(answer: Answer, image: bool) -> bool | None:
    """Whether an image is loaded after this call; None: it cannot have answered so here."""
    if answer.what == LOAD:
        return True
    if answer.what == UNLOAD:
        return False
    return image if image == (answer.error == 0) else None


def after(each: Round) -> bool:
    """Whether an image is loaded after the round and its undisturbed calls."""
    loaded = bool(each.loaded)
    for what, error in each.quiet:
        if not error and what != EXEC:
            loaded = what == LOAD
    return loaded


def _name(error: int) -> str:
    return errno.errorcode.get(error, str(error)) if error else "success"


def _list(answers: Sequence[Answer]) -> str:
    """Those that took effect or missed an image, in the order in which they began."""
    told = sorted(answers, key=lambda each: each.begin)
    busy = sum(1 for each in told if each.error == errno.EBUSY)
    words = [
        f"{each} [{each.begin // 1000}-{each.end // 1000} us]"
        for each in told
        if each.error != errno.EBUSY
    ]
    return ", ".join([*words, f"and {busy} EBUSY"])
