# SPDX-License-Identifier: GPL-2.0-or-later
"""Racing calls and their answers: which histories some order explains, and which none does."""

from __future__ import annotations

import errno
import itertools
from dataclasses import replace
from random import Random

import pytest

from harness.jump import race_answers
from harness.jump.race_answers import (
    EXEC,
    LOAD,
    UNLOAD,
    Answer,
    BadAnswers,
    Round,
    after,
    ends_of,
    parse,
    problems_of,
)

BUSY, NONE = errno.EBUSY, errno.EINVAL


def calls(*rows: tuple[str, int, int, int, int]) -> list[Answer]:
    return [Answer(*row) for row in rows]


@pytest.mark.parametrize(
    ("loaded", "answers", "ends"),
    [
        # One after the other: only one order.
        (False, calls((LOAD, 1, 0, 1, 0), (UNLOAD, 2, 2, 3, 0)), {False}),
        (True, calls((UNLOAD, 1, 0, 1, 0), (LOAD, 2, 2, 3, 0)), {True}),
        # At the same time: both.
        (False, calls((LOAD, 1, 0, 5, 0), (UNLOAD, 2, 2, 3, 0)), {False, True}),
        # A thread's own calls follow each other.
        (False, calls((LOAD, 1, 0, 1, 0), (UNLOAD, 1, 1, 2, 0)), {False}),
        # A jump needs an image, and says so.
        (True, calls((EXEC, 0, 0, 1, 0)), {True}),
        (True, calls((EXEC, 0, 0, 1, NONE)), set()),
        (False, calls((EXEC, 0, 0, 1, 0)), set()),
        (False, calls((EXEC, 0, 0, 1, NONE)), {False}),
        # Somebody may have unloaded it before, and another loaded one after.
        (True, calls((EXEC, 0, 0, 9, NONE), (UNLOAD, 1, 1, 2, 0)), {False}),
        (True, calls((EXEC, 0, 0, 9, 0), (UNLOAD, 1, 1, 2, 0)), {False}),
        (True, calls((EXEC, 0, 0, 4, NONE), (UNLOAD, 1, 5, 6, 0)), set()),
        (
            True,
            calls((EXEC, 0, 3, 9, NONE), (UNLOAD, 1, 1, 2, 0), (LOAD, 2, 4, 5, 0)),
            {True},
        ),
        (
            True,
            calls((EXEC, 0, 6, 9, NONE), (UNLOAD, 1, 1, 2, 0), (LOAD, 2, 4, 5, 0)),
            set(),
        ),
        # Turned away: nothing has happened.
        (True, calls((UNLOAD, 1, 0, 5, BUSY), (EXEC, 0, 1, 4, 0)), {True}),
        (True, calls((UNLOAD, 1, 0, 1, BUSY), (EXEC, 0, 2, 4, NONE)), set()),
    ],
)
def test_orders(loaded: bool, answers: list[Answer], ends: set[bool]) -> None:
    assert ends_of(answers, loaded) == ends


def _really_happened(random: Random) -> tuple[list[Answer], bool, bool]:
    """Answers of calls that took effect at a moment within their time."""
    loaded = random.random() < 0.5
    before = loaded
    events = []
    for thread in range(3):
        at = 0
        for _ in range(random.randrange(4)):
            begin = at + random.randrange(4)
            moment = begin + random.randrange(1, 6)
            end = moment + random.randrange(1, 6)
            what = random.choice((LOAD, UNLOAD, EXEC))
            events.append((moment, thread, what, begin, end))
            at = end + 1
    answers = []
    for _, thread, what, begin, end in sorted(events):
        error = 0
        if what == EXEC:
            error = 0 if loaded else NONE
        else:
            loaded = what == LOAD
        answers.append(Answer(what, thread, begin, end, error))
    return answers, before, loaded


def test_what_really_happened_is_always_explained() -> None:
    for seed in range(2000):
        answers, before, now = _really_happened(Random(seed))
        assert now in ends_of(answers, before), f"seed {seed}"


def test_orders_are_those_of_trying_all() -> None:
    """By brute force over all orders, on small histories with wrong answers among them."""
    for seed in range(400):
        random = Random(seed)
        answers, before, _ = _really_happened(random)
        answers = [
            Answer(a.what, a.thread, a.begin, a.end, NONE if random.random() < 0.3 else a.error)
            if a.what == EXEC
            else a
            for a in answers[:6]
        ]
        assert ends_of(answers, before) == _tried(answers, before), f"seed {seed}"


def _tried(answers: list[Answer], loaded: bool) -> set[bool]:
    ends = set()
    for order in itertools.permutations(answers):
        if any(b.end < a.begin for i, a in enumerate(order) for b in order[i + 1 :]):
            continue
        image, good = loaded, True
        for each in order:
            if each.what == EXEC:
                good = good and image == (each.error == 0)
            else:
                image = each.what == LOAD
        if good:
            ends.add(image)
    return ends


def told(*answers: Answer, loaded: bool, quiet: list[tuple[str, int]] | None = None) -> Round:
    return Round(7, list(answers), loaded, quiet or [])


def test_a_right_round_has_no_problem() -> None:
    each = told(
        Answer(LOAD, 1, 0, 5, 0),
        Answer(EXEC, 0, 2, 9, BUSY),
        loaded=True,
        quiet=[(LOAD, 0), (EXEC, 0)],
    )
    assert not list(problems_of(each, False))
    assert after(each)


@pytest.mark.parametrize(
    ("each", "words"),
    [
        (told(Answer(LOAD, 1, 0, 1, errno.ENOMEM), loaded=False), "ENOMEM; success, EBUSY may"),
        (told(Answer(UNLOAD, 1, 0, 1, BUSY), loaded=False), "though nobody else was at it"),
        (told(Answer(EXEC, 0, 0, 1, 0), loaded=False), "no order of the calls"),
        (told(Answer(LOAD, 1, 0, 1, 0), loaded=False), "there is none now"),
        (told(Answer(UNLOAD, 1, 0, 1, 0), loaded=True), "but there is now"),
        (told(Answer(LOAD, 1, 0, 1, 0), loaded=True, quiet=[(EXEC, NONE)]), "answered EINVAL"),
    ],
)
def test_each_problem_is_told(each: Round, words: str) -> None:
    (problem,) = problems_of(each, False)
    assert words in problem and "round 7" in problem


def test_undisturbed_calls_count() -> None:
    assert not after(told(Answer(LOAD, 1, 0, 1, 0), loaded=True, quiet=[(UNLOAD, 0)]))
    assert after(told(Answer(LOAD, 1, 0, 1, 0), loaded=True, quiet=[(UNLOAD, BUSY)]))


GOOD = "o 3 0 x 5 9 22\no 3 1 l 1 12 0\ns 3 1\nq 3 l 0\nq 3 x 0\ndone 1"


def test_lines_are_read() -> None:
    (each,) = parse(GOOD, 3, 1)
    assert each.answers == [Answer(EXEC, 0, 5, 9, 22), Answer(LOAD, 1, 1, 12, 0)]
    assert each.loaded is True and each.quiet == [(LOAD, 0), (EXEC, 0)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "jb-race: no such file",
        GOOD.replace("done 1", "done 2"),
        GOOD.replace("s 3 1\n", ""),
        GOOD.replace("s 3 1", "s 3 2"),
        GOOD.replace("o 3 0 x 5 9 22", "o 4 0 x 5 9 22"),
        GOOD.replace("o 3 1 l 1 12 0", "o 3 1 l 1 12"),
        GOOD.replace("q 3 l 0", "z 3 l 0"),
    ],
)
def test_what_is_no_account_is_refused(text: str) -> None:
    with pytest.raises(BadAnswers):
        parse(text, 3, 1)


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("s 3 1\n", "s 3 1\n\n"),
        GOOD.replace("o 3 1 l 1 12 0", "o 3 1 w 1 12 0"),
        GOOD.replace("q 3 l 0", "q 3 w 0"),
    ],
)
def test_blank_lines_and_calls_of_no_kind_are_refused(text: str) -> None:
    with pytest.raises(BadAnswers, match="is no answer"):
        parse(text, 3, 1)


def test_calls_that_were_turned_away_change_no_order() -> None:
    for seed in range(400):
        random = Random(seed)
        answers, before, _ = _really_happened(random)
        told = [replace(a, error=BUSY) if random.random() < 0.4 else a for a in answers]
        effective = [a for a in told if a.error != BUSY]
        if len(effective) <= 6:
            assert ends_of(told, before) == _tried(effective, before), f"seed {seed}"


def test_the_search_is_spared_what_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six loaders whose calls all overlap, most of them turned away, and a jump."""
    states = 0
    real = race_answers._after

    def counted(answer: Answer, image: bool) -> bool | None:
        nonlocal states
        states += 1
        return real(answer, image)

    monkeypatch.setattr(race_answers, "_after", counted)
    answers = [
        Answer(LOAD, thread, 100 * call, 100 * call + 99, 0 if call == thread % 6 else BUSY)
        for thread in range(1, 7)
        for call in range(6)
    ]
    answers = [replace(answer, begin=0, end=600) for answer in answers]
    answers.append(Answer(EXEC, 0, 0, 600, 0))
    assert ends_of(answers, False) == {True}
    assert states < 2**7 * 2 * 7  # any set of the seven that count, twice, with what may follow
