# SPDX-License-Identifier: GPL-2.0-or-later
"""The C++ benchmarks (Google Benchmark), built and run, and the figures in their output."""

from __future__ import annotations

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from harness.bench.figures import Aim, Figure
from harness.errors import InfraError
from harness.paths import BUILD

TARGETS = {
    "jumpback_image_bench": "model/image/bench",
    "jumpback_kimage_bench": "model/kimage/bench",
    "jumpback_memory_bench": "model/memory/bench",
    "jumpback_relocate_bench": "model/relocate/bench",
    "jumpback_relocate_check_bench": "vm/relocate/bench",
    "vm_bench": "vm/bench",
}


# vm/bench/capture_bench.cpp's layouts
_RESIDENT = {
    "0": "all resident",
    "1": "half resident in runs of 1 MiB",
    "2": "every second page resident",
}


def build() -> None:
    """Raises InfraError with the build's last lines."""
    answer = subprocess.run(["ninja", "-C", str(BUILD), *TARGETS], capture_output=True, text=True)
    if answer.returncode != 0:
        raise InfraError("the benchmarks do not build:\n" + answer.stdout[-3000:])


def run(target: str, pattern: str, seconds: float) -> list[dict[str, Any]]:
    """Google Benchmark's own records of the benchmarks whose name matches ``pattern``."""
    program = next(
        (path for path in BUILD.rglob(target) if path.is_file()), BUILD / TARGETS[target] / target
    )
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        answer = subprocess.run(
            [
                str(program),
                f"--benchmark_filter={pattern}",
                f"--benchmark_min_time={seconds}",
                f"--benchmark_out={out.name}",
                "--benchmark_out_format=json",
            ],
            capture_output=True,
            text=True,
        )
        if answer.returncode != 0:
            raise InfraError(f"{program} failed:\n{answer.stderr[-2000:]}")
        text = Path(out.name).read_text()
    # Nothing is written if no benchmark matches: of kernels that are not built, for one.
    records: list[dict[str, Any]] = json.loads(text)["benchmarks"] if text else []
    for record in records:
        if record.get("error_occurred"):
            raise InfraError(f"{record['name']}: {record.get('error_message', 'failed')}")
    return records


def comparison(seconds: float) -> list[Figure]:
    """Comparing all of RAM, against memcmp() over the same bytes."""
    records = {r["name"]: r for r in run("jumpback_memory_bench", ".", seconds)}
    figures = []
    for name, what in (("compare_ram", "all of RAM"), ("compare_image", "an image with RAM")):
        alone, ratio = _named(records, f"{name}/256MiB"), _named(records, f"{name}/ratio")
        share = float(ratio["of_memcmp"])
        figures.append(
            Figure(
                f"compare {what}, 256 MiB",
                f"{milliseconds(alone):.1f} ms",
                share,
                "memcmp over the same bytes",
                Aim.AT_LEAST,
                0.8,
                f"memory bandwidth, as memcmp reaches it: {share:.0%}",
            )
        )
    return figures


def reading(seconds: float) -> list[Figure]:
    """Reading an image, against the bare decompressor over the same chunks."""
    figures = []
    for record in run("jumpback_image_bench", ".", seconds):
        if "of_bare" not in record:
            continue
        limit = f"memcpy of as many bytes: {float(record.get('of_memcpy', 0)):.0%}"
        figures.append(
            Figure(
                f"read an image, {record['name'].split('/')[1].replace('_', ', ')}",
                f"{float(record['bytes_per_second']) / 1e6:.0f} MB/s"
                if "bytes_per_second" in record
                else f"{milliseconds(record):.1f} ms",
                float(record["of_bare"]),
                "the bare decompressor over the same units",
                Aim.AT_LEAST,
                0.8,
                limit if "of_memcpy" in record else "the decompressor",
            )
        )
    return figures


def capturing(seconds: float) -> list[Figure]:
    """Capturing RAM, against a memcpy of what is resident."""
    figures = []
    for record in run("vm_bench", "^pool_capture/", seconds):
        figures.append(
            Figure(
                f"capture 256 MiB, {_RESIDENT[record['name'].split('/')[1]]}",
                f"{milliseconds(record):.1f} ms",
                float(record["ratio_fresh"]),
                "memcpy of what is resident into fresh memory",
                Aim.AT_MOST,
                1.5,
                f"memcpy into warm memory: {float(record['ratio_warm']):.2f} times as long",
            )
        )
    return figures


def _named(records: dict[str, dict[str, Any]], start: str) -> dict[str, Any]:
    for name, record in records.items():
        if name.startswith(start):
            return record
    raise InfraError(f"no benchmark {start}; there are: {', '.join(records)}")


def milliseconds(record: dict[str, Any]) -> float:
    """The real time of one iteration."""
    scale = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}[record["time_unit"]]
    return float(record["real_time"]) * scale
