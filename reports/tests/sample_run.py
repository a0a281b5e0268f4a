# SPDX-License-Identifier: GPL-2.0-or-later
"""Made-up runs that look like real ones: what the renderers are shown in tests and to the eye."""

from __future__ import annotations

import random
from pathlib import Path

from harness.results import (
    Check,
    EventRecord,
    Finding,
    FrameMap,
    FrameRun,
    FrameState,
    KernelInfo,
    KnownDefect,
    LifeOutcome,
    LifeRecord,
    RuleUse,
    RunResult,
    StageRecord,
)
from harness.verdict import Verdict

FRAMES = 65_536  # 256 MiB
BAD_PFN = 0x4E21  # the frame that fail_run() blames
SEED = 20260101

S = FrameState

BOOT_LINES = [
    "\x1bc\x1b[?7l\x1b[2JSeaBIOS (version 1.16.2-debian-1.16.2-1)",
    "[    0.000000] Linux version 6.1.192-jumpback (gcc-12 (Debian 12.2.0-14) 12.2.0)",
    "[    0.000000] Command line: console=ttyS0 nokaslr resume=/dev/vda jumpback.nonce=%s",
    "[    0.000000] BIOS-provided physical RAM map:",
    "[    0.000000] BIOS-e820: [mem 0x0000000000000000-0x000000000009fbff] usable",
    "[    0.000000] BIOS-e820: [mem 0x0000000000100000-0x000000000ffdffff] usable",
    "[    0.021371] PM: hibernation: Registered nosave memory: [mem 0x00000000-0x00000fff]",
    "[    0.412008] virtio_blk virtio1: [vda] 1048576 512-byte logical blocks",
    "[    0.733190] Run /init as init process",
]
SAVE_LINES = [
    "[    2.104411] PM: hibernation: hibernation entry",
    "[    2.131005] Freezing user space processes completed (elapsed 0.001 seconds)",
    "[    2.204020] PM: hibernation: Allocated 51240 pages for snapshot",
    "[    2.391130] PM: hibernation: Creating image:",
    "[    2.391130] PM: hibernation: Need to copy 11402 pages",
    "[    2.902111] PM: Using 1 thread(s) for lzo compression",
    "[    3.412205] PM: Image saving done",
    "[    3.501100] ACPI: PM: Preparing to enter system sleep state S4",
]
PANIC_LINES = [
    "[    1.204410] BUG: kernel NULL pointer dereference, address: 0000000000000018",
    "[    1.204502] #PF: supervisor read access in kernel mode",
    "[    1.204611] RIP: 0010:swsusp_read+0x51/0x2f0",
    "[    1.204702] Call Trace:",
    "[    1.204799]  load_image_and_restore+0x45/0x90",
    "[    1.204888]  software_resume+0x1f2/0x2c0",
    "[    1.205010] Kernel panic - not syncing: Fatal exception",
]


def frame_map(cycle: int, bad: dict[int, FrameState] | None = None) -> FrameMap:
    """A machine of 256 MiB after one cycle; ``bad`` frames get the given state."""
    rng = random.Random(SEED + cycle)
    runs: list[FrameRun] = []
    at = 0

    def put(count: int, state: FrameState, owner: str = "") -> None:
        nonlocal at
        count = min(count, FRAMES - at)
        if count > 0:
            runs.append(FrameRun(at, count, state, owner))
            at += count

    put(1, S.NOSAVE, "BIOS data area")
    put(0x9E, S.FREE)
    put(0x61, S.HOLE, "legacy VGA and BIOS ROM")
    put(0x300, S.FREE)
    put(0xF00, S.EQUAL, "FREE_INIT hole")
    for number in range(0x1000 // 8):
        put(8, S.EQUAL, f"kernel text _stext+0x{number * 8 * 4096:x}")
    put(0x200, S.EQUAL, "kernel data")
    put(4, S.NOSAVE, "__nosave_begin")
    put(0x1BC, S.EQUAL, "kernel bss")
    put(0x400, S.EQUAL, "initramfs")
    put(0x600, S.EQUAL, "struct page array")
    kinds = [
        ("slab kmalloc-64", S.EQUAL, 4, 14),
        ("slab dentry", S.EQUAL, 2, 10),
        ("page table", S.EQUAL, 1, 2),
        ("anonymous page of counter[87]", S.EQUAL, 6, 5),
        ("page cache", S.EQUAL, 20, 4),
        ("", S.FREE, 40, 16),
        ("snapshot copy", S.OWN, 30, 6),
        ("per-CPU data", S.EXCEPTED, 1, 1),
    ]
    while at < 0xC000:
        name, state, most, _ = rng.choices(kinds, weights=[kind[3] for kind in kinds])[0]
        put(rng.randint(1, most), state, name)
    while at < 0xFFE0:
        put(rng.randint(200, 2500), S.FREE)
        put(rng.randint(1, 60), S.OWN, "snapshot copy")
        put(rng.randint(1, 16), S.EQUAL, "slab kmalloc-1k")
    put(FRAMES - at, S.NOSAVE, "ACPI tables")
    return FrameMap(cycle, FRAMES, _with(runs, bad or {}))


def _with(runs: list[FrameRun], bad: dict[int, FrameState]) -> list[FrameRun]:
    out: list[FrameRun] = []
    for run in runs:
        start, end = run.start, run.start + run.count
        for pfn in sorted(pfn for pfn in bad if start <= pfn < end):
            if pfn > start:
                out.append(FrameRun(start, pfn - start, run.state, run.owner))
            out.append(FrameRun(pfn, 1, bad[pfn], run.owner))
            start = pfn + 1
        if start < end:
            out.append(FrameRun(start, end - start, run.state, run.owner))
    return out


def _rules(uses: int) -> list[RuleUse]:
    return [
        RuleUse("snapshot-stack", "the stack page swsusp_arch_suspend runs on (kernel/power)", 1),
        RuleUse("per-cpu-clock", "per-CPU run-queue clock, written while pages are copied", uses),
        RuleUse("nmi-watchdog", "watchdog counters of other CPUs", 0),
    ]


def _checks(cycle: int) -> list[Check]:
    saved = 11_402 + cycle
    return [
        Check("image equals RAM at the snapshot", "image-content", True, cycle, saved, 0.061,
              "", _rules(2)),
        Check("restored RAM equals the image", "restored-memory", True, cycle, saved, 0.048),
        Check("no page is missing from the image", "coverage", True, cycle, FRAMES, 0.092,
              "nosave 37, free 40,113"),
        Check("both nonces hold", "nonce", True, cycle, 2, 0.004),
        Check("workloads went on", "workload", True, cycle, 3, 1.2,
              "counter, timer, half-written tmpfs file"),
    ]  # fmt: skip


def _life(index: int, cycle: int, role: str, start: float, folder: Path | None) -> LifeRecord:
    nonce = f"{random.Random(SEED + index).getrandbits(64):016x}"
    log = Path(f"life-{index}.console.log")
    lines = [line % nonce if "%s" in line else line for line in BOOT_LINES]
    lines += SAVE_LINES if role == "A" else ["[    1.003] PM: hibernation: resume from vda"]
    if folder is not None:
        (folder / log).write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    if role == "A":
        stages = [
            ("boot", 0.0, 2.0),
            ("plant", 2.0, 2.2),
            ("save", 2.2, 2.9),
            ("snapshot", 2.9, 3.1),
            ("write-image", 3.1, 3.9),
            ("power-off", 3.9, 4.1),
        ]
    else:
        stages = [("boot", 0.0, 1.6), ("read-image", 1.6, 2.3), ("restore", 2.3, 2.5),
                  ("resume", 2.5, 2.8), ("check", 2.8, 3.4)]  # fmt: skip
    end = start + stages[-1][2]
    return LifeRecord(
        index=index, cycle=cycle, role=role, nonce=nonce, start=start, end=end,
        outcome=LifeOutcome.POWER_OFF_S4 if role == "A" else LifeOutcome.STOPPED,
        command_line=f"console=ttyS0 nokaslr resume=/dev/vda jumpback.nonce={nonce}",
        machine_command=["qemu-system-x86_64", "-machine", "q35", "-m", "256", "-append",
                         f"console=ttyS0 jumpback.nonce={nonce}"],
        console_log=log,
        stages=[StageRecord(name, start + a, start + b) for name, a, b in stages],
        events=[EventRecord(start + 2.0, "agent", "ready"),
                EventRecord(start + stages[3][1], "breakpoint", "swsusp_arch_suspend"),
                EventRecord(start + stages[3][1] + 0.01, "capture", "256 MiB, 41 MiB resident")],
    )  # fmt: skip


def pass_run(folder: Path | None = None, cycles: int = 2) -> RunResult:
    """A run in which all went well. Writes console logs where a folder is given."""
    result = RunResult(
        scenario="hibernate-disk",
        verdict=Verdict.PASS,
        reason=f"{cycles} of {cycles} cycles proved",
        command=f"./jumpback run hibernate-disk --kernel 6.1 --cycles {cycles} --seed 7",
        folder=folder or Path("/tmp/jumpback/runs/hibernate-disk-0001"),
        kernel=KernelInfo("6.1", "6.1.192-jumpback", "x86_64", "cache/6.1/bzImage"),
        engine="qemu",
        accelerator="tcg",
        accelerator_reason="no /dev/kvm on this host",
        options={"memory": "256", "cpus": "2", "mode": "platform", "compress": "lzo"},
        seed=7,
        started_at="2026-11-21T03:58:00Z",
        seconds=8.4 * cycles,
        target_reached=True,
        cycles_proved=cycles,
        console_tail=["[    3.100] jumpback: counter at 1204", "[    3.200] jumpback: done"],
        properties={"qemu": "7.2.22", "git": "v0.1.0-14-gccfb888", "host": "Debian 12, 2 cores"},
    )
    for cycle in range(1, cycles + 1):
        start = 8.0 * (cycle - 1)
        result.lives.append(_life(2 * cycle - 1, cycle, "A", start, folder))
        result.lives.append(_life(2 * cycle, cycle, "C", start + 4.3, folder))
        result.checks += _checks(cycle)
        result.frame_maps.append(frame_map(cycle))
    return result


def fail_run(folder: Path | None = None, cycles: int = 2) -> RunResult:
    """One byte of one page is wrong after the last cycle's restore, and one page is missing."""
    result = pass_run(folder, cycles)
    result.verdict = Verdict.FAIL
    result.reason = f"restored memory differs from the image at pfn 0x{BAD_PFN:x} (cycle {cycles})"
    result.command += " --tamper image-byte"
    result.cycles_proved = cycles - 1
    result.failed_stage = "restore"
    bad = {BAD_PFN: S.DIFFERENT, BAD_PFN + 0x900: S.MISSING}
    result.frame_maps[-1] = frame_map(cycles, bad)
    restored = result.checks[-4]
    restored.passed = False
    restored.detail = "1 of 11,404 pages differs"
    expected = bytes.fromhex("48 89 e5 41 57 41 56 41 55 41 54 53 48 83 ec 18")
    found = bytearray(expected)
    found[4] ^= 0x10
    restored.findings.append(
        Finding(
            "restored-memory", "restore", "page differs from its page in the image",
            cycles, 2 * cycles, BAD_PFN * 4096 + 0x124, BAD_PFN, "init_task+0x120",
            expected, bytes(found), 1,
        )
    )  # fmt: skip
    coverage = result.checks[-3]
    coverage.passed = False
    coverage.findings.append(
        Finding("coverage", "save", "page had to be saved and is not in the image", cycles,
                2 * cycles - 1, (BAD_PFN + 0x900) * 4096, BAD_PFN + 0x900, "slab dentry")
    )  # fmt: skip
    return result


def xfail_run(folder: Path | None = None) -> RunResult:
    """As known of this kernel: a refused jump left devices suspended."""
    result = pass_run(folder, 1)
    result.scenario = "jump-fail-step"
    result.verdict = Verdict.XFAIL
    page = "docs/findings/unwinding-label.md"
    result.reason = f"as known, unwinding-label ({page}): no device is left suspended: 87 are"
    result.failed_stage = "suspend-devices"
    message = "87 devices stay suspended"
    result.checks.append(
        Check("no device is left suspended", "devices", False, 1, 87, 0.01, message,
              findings=[Finding("devices", "suspend-devices", message, 1)],
              known=["unwinding-label"])
    )  # fmt: skip
    summary = "devices stay suspended when dpm_suspend_start() fails"
    result.known_defects = [
        KnownDefect("unwinding-label", page, summary, True, ["no device is left suspended"])
    ]
    return result


def xpass_run(folder: Path | None = None) -> RunResult:
    """The same defect did not show."""
    result = xfail_run(folder)
    result.verdict = Verdict.XPASS
    known = result.known_defects[0]
    result.reason = f"{known.id} ({known.page}) did not show: fixed upstream, or the rig went blind"
    result.failed_stage = ""
    result.checks.pop()
    result.known_defects = [KnownDefect(known.id, known.page, known.summary, False, [])]
    return result


def panic_run(folder: Path | None = None) -> RunResult:
    """The second life panics while it reads the image."""
    result = pass_run(folder, 1)
    result.verdict = Verdict.PANIC
    result.reason = "kernel panic in read-image: Fatal exception"
    result.cycles_proved = 0
    result.failed_stage = "read-image"
    result.checks = result.checks[:1]
    result.frame_maps = []
    result.console_tail = list(PANIC_LINES)
    life = result.lives[-1]
    life.outcome = LifeOutcome.PANIC
    life.detail = "Kernel panic - not syncing: Fatal exception"
    life.stages = life.stages[:2]
    life.stages[1].end = None
    life.end = life.stages[1].start + 0.4
    life.events.append(EventRecord(life.end, "panic", life.detail))
    if folder is not None and life.console_log is not None:
        with (folder / life.console_log).open("a", encoding="utf-8") as log:
            log.write("\r\n".join(PANIC_LINES) + "\r\n")
    return result
