# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that ``kexec-load`` puts into its own runs, each with the check that must find it.

`jumpback run kexec-load --tamper NAME` must end FAIL, with the first finding where it says here
(scenarios/tests/test_kexec_load.py holds it to that). Every hook notes in ``site.done`` what it
did.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from harness.kexec.calls import PAGE
from harness.kexec.site import Site

ONE = "one page"
SEVERAL = "several segments"
FULL = "a full list page"
THREE = "three list pages"

_DESTINATION, _INDIRECTION, _SOURCE, _FLAGS = 0x1, 0x2, 0x8, 0xFFF


Hook = Callable[[Site], None]


def _nothing(_: Site) -> None:
    """Most faults are put in at one moment only."""


@dataclass(frozen=True)
class KexecTamper:
    name: str
    summary: str
    oracle: str  # of the first finding
    stage: str  # of the first finding
    check: str  # that fails; the start of its name
    shape: str = ""  # the load that it is about, for at_loaded and at_trace
    at_start: Hook = _nothing  # nothing was called yet
    at_calls: Hook = _nothing  # the machine runs, calls are about to be made
    at_answers: Hook = _nothing  # the calls were made, nothing is judged
    at_refused: Hook = _nothing  # the refused calls were made, the loaded image is about to be read
    at_loaded: Hook = _nothing  # the machine stands still with a loaded image
    at_trace: Hook = _nothing  # its frames are known, the list is about to be predicted
    at_end: Hook = _nothing  # everything is unloaded

    @property
    def expect(self) -> str:
        return f"FAIL, oracle {self.oracle}, stage {self.stage}"


def _source_elsewhere(site: Site) -> None:
    """The last whole MiB but one of RAM: nothing of the image lies there."""
    start, _, length = site.view.regions[0]
    gpa = site.entry_gpa(site.source_entry())
    site.change(gpa, (start + length - (1 << 20)) | _SOURCE)


def _source_twice(site: Site) -> None:
    entry = site.source_entry()
    site.change(site.entry_gpa(entry), site.word(site.entry_gpa(entry - 1)))


def _drop_entry(site: Site) -> None:
    """What stands behind a SOURCE word moves up by one."""
    assert site.shape is not None
    entry = site.source_entry()
    last = sum(1 + segment.pages for segment in site.shape.segments)
    site.done.append(f"entry {entry} of {last} was dropped")
    for at in range(entry, last):
        site.write(site.entry_gpa(at), site.word(site.entry_gpa(at + 1)))


def _destination_off(site: Site) -> None:
    gpa = site.entry_gpa(0)
    site.change(gpa, site.word(gpa) + PAGE)


def _destination_on_control_page(site: Site) -> None:
    assert site.image is not None
    site.change(site.entry_gpa(0), site.image.control_code.first * PAGE | _DESTINATION)


def _link(site: Site, page: int, to: int) -> None:
    gpa = site.list_pages[page] + PAGE - site.view.word
    site.change(gpa, site.list_pages[to] | _INDIRECTION)


def _flip_source_byte(site: Site) -> None:
    source = site.word(site.entry_gpa(site.source_entry())) & ~_FLAGS
    gpa = source + site.random.randrange(PAGE)
    aligned = gpa - gpa % site.view.word
    site.write(aligned, site.word(aligned) ^ 1 << 8 * (gpa - aligned))
    site.done.append(f"flipped a bit of the byte at GPA {gpa:#x}")


def _flip_installed(site: Site) -> None:
    gpa = site.entry_gpa(0)
    site.change(gpa, site.word(gpa) ^ PAGE)


def _change_trace(site: Site) -> None:
    """One of the frames that became sources."""
    index = site.random.randrange(len(site.trace) // 2, len(site.trace))
    changed = replace(site.trace[index], first=site.trace[index].first ^ 0x4000)
    site.done.append(f"frame {index} of the trace, {site.trace[index].first:#x}, was changed")
    site.trace[index] = changed


def _change_answer(site: Site) -> None:
    index = site.random.choice([i for i, said in enumerate(site.answers) if said != "EPERM"])
    site.done.append(f"answer {index} was {site.answers[index]}")
    site.answers[index] = "EPERM"


def _other_version(site: Site) -> None:
    """A generation whose kernels take other flags."""
    other = "7.2" if site.model.release.startswith(("5.", "6.1.")) else "6.1"
    site.done.append(f"the model was told that {site.model.release} is {other}")
    site.model.release = other


def _other_ram(site: Site) -> None:
    pages = site.model.conditions.totalram_pages
    site.done.append(f"the model was told of {pages + 2} pages of RAM, not {pages}")
    site.model.conditions = replace(site.model.conditions, totalram_pages=pages + 2)


def _leak_frame(site: Site) -> None:
    """As kimage_alloc_pages() marks its frames: PG_reserved stands right below PG_private."""
    info = site.view.kernel.vmcoreinfo
    runs = site.view.kernel.owner_runs()
    pfn = site.random.choice([start for start, _, owner in runs if owner == "anonymous"])
    flags = site.view.pages.address_of(pfn) + int(info["OFFSET(page.flags)"])
    gpa = site.view.kernel.translate(flags)[0]
    site.write(gpa, site.word(gpa) | 1 << (int(info["NUMBER(PG_private)"]) - 1))
    site.done.append(f"frame {pfn:#x}, of a process, was marked as reserved")


def _log_bug(site: Site) -> None:
    assert site.agent is not None
    site.agent.run("echo '<2>BUG: made by the rig' > /dev/kmsg")
    site.done.append("a line of BUG: was put into the kernel's log")


def _image_pointer(site: Site) -> None:
    """The next load frees the image before it."""
    site.view.write_variable("kexec_image", PAGE + 1, site.view.word)
    site.done.append(f"kexec_image became {PAGE + 1:#x}, which is no image")


_LIST, _ERRNO = "page-list", "kexec-errno"

_ALL = (
    KexecTamper(
        "list-source",
        "a SOURCE word of a loaded page list names another page",
        _LIST,
        f"load {SEVERAL}",
        "source pages hold",
        SEVERAL,
        at_loaded=_source_elsewhere,
    ),
    KexecTamper(
        "list-source-twice",
        "two SOURCE words of a loaded page list name the same page",
        _LIST,
        f"load {SEVERAL}",
        "page lists are well formed",
        SEVERAL,
        at_loaded=_source_twice,
    ),
    KexecTamper(
        "list-drop",
        "a SOURCE word is missing in a loaded page list",
        _LIST,
        f"load {SEVERAL}",
        "source pages hold",
        SEVERAL,
        at_loaded=_drop_entry,
    ),
    KexecTamper(
        "list-destination",
        "a DESTINATION word of a loaded page list is off by one page",
        _LIST,
        f"load {ONE}",
        "page lists name",
        ONE,
        at_loaded=_destination_off,
    ),
    KexecTamper(
        "list-control",
        "a DESTINATION word of a loaded page list names the control code page",
        _LIST,
        f"load {SEVERAL}",
        "page lists are well formed",
        SEVERAL,
        at_loaded=_destination_on_control_page,
    ),
    KexecTamper(
        "list-link",
        "the link of the first list page leads past the second one",
        _LIST,
        f"load {THREE}",
        "source pages hold",
        THREE,
        at_loaded=lambda site: _link(site, 0, 2),
    ),
    KexecTamper(
        "list-cycle",
        "the link of the second list page leads back to the first one",
        _LIST,
        f"load {THREE}",
        "page lists are well formed",
        THREE,
        at_loaded=lambda site: _link(site, 1, 0),
    ),
    KexecTamper(
        "source-byte",
        "one bit of one source page of a loaded image is flipped",
        _LIST,
        f"load {FULL}",
        "source pages hold",
        FULL,
        at_loaded=_flip_source_byte,
    ),
    KexecTamper(
        "refused-change",
        "the loaded image changes while calls are refused",
        _LIST,
        "calls",
        "refused calls leave",
        at_refused=_flip_installed,
    ),
    KexecTamper(
        "trace-frame",
        "the model is told of a frame that the allocator did not give",
        _LIST,
        f"load {SEVERAL}",
        "page lists are those predicted",
        SEVERAL,
        at_trace=_change_trace,
    ),
    KexecTamper(
        "answer",
        "one call is said to have returned EPERM",
        _ERRNO,
        "calls",
        "calls return",
        at_answers=_change_answer,
    ),
    KexecTamper(
        "model-version",
        "the model is told that the kernel is of another generation",
        _ERRNO,
        "calls",
        "calls return",
        at_start=_other_version,
    ),
    KexecTamper(
        "model-ram",
        "the model is told that the machine has two pages more",
        _ERRNO,
        "calls",
        "calls return",
        at_start=_other_ram,
    ),
    KexecTamper(
        "leak",
        "a frame looks as if an unloaded image still had it",
        _LIST,
        "unload",
        "unloading gives back",
        at_end=_leak_frame,
    ),
    KexecTamper(
        "log",
        "the kernel's log tells of a bug while calls are made",
        "console",
        "calls",
        "the kernel's log is clean",
        at_calls=_log_bug,
    ),
    KexecTamper(
        "image-pointer",
        "the kernel's pointer to the loaded image leads nowhere: the next load makes it fail",
        "life",
        "calls",
        "the guest's loader works",
        at_calls=_image_pointer,
    ),
)

KEXEC_TAMPERS: dict[str, KexecTamper] = {tamper.name: tamper for tamper in _ALL}

# One for each check, none in the way of another: all in one run.
EACH_CHECK = "each-check"
_EACH = (
    "answer",
    "refused-change",
    "list-destination",
    "trace-frame",
    "source-byte",
    "list-cycle",
    "leak",
    "log",
)


def tampers_named(name: str) -> tuple[KexecTamper, ...]:
    """For the option's value: none, one, or ``EACH_CHECK``."""
    if name == EACH_CHECK:
        return tuple(KEXEC_TAMPERS[each] for each in _EACH)
    return (KEXEC_TAMPERS[name],) if name else ()
