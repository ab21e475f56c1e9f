"""Validation of 500,000 MMPR rows against what else reads such a file, all in one interleaved run.

python benchmarks/validate.py [--rows 500000] [--rounds 3]

Every round runs every subject once; a subject's figure is the median over rounds of its rate divided by that of bare
`orjson.loads` per line in the same round. One process is measured in CPU seconds, which a busy machine leaves alone,
two processes by the clock against one process by the clock. The file lies in memory where the machine has /dev/shm, so
nobody waits for a disk.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import orjson
import pydantic
import xxhash

from benchmarks.harness import RESULTS, Timing, measure, versions_of
from benchmarks.pairs import write_pairs
from prefdata.convert import convert
from prefdata.formats.mmpr import Row
from prefdata.images import check
from prefdata.outcome import Options as ConvertOptions
from prefdata.rowscan import SCANNERS
from prefdata.validate import Options, validate

_PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000080000000808020000004b6d29dc0000000c49444154789c63601805a300000208"
    "0001000000000049454e44ae426082"
)
_FILES = 20_000
_TEMPLATE = re.compile(r"<\|[A-Za-z0-9_]{2,30}\|>|\[UNUSED_TOKEN_\d+\]|\[/?INST\]|</s>")
_REFUSAL = re.compile(r"(?:[Cc]an ?not|[Cc]an['’]t|[Uu]nable to) (?:see|view)|[Aa]s an? (?:\w+ ){0,3}?AI\b")


class PydanticRow(pydantic.BaseModel):
    """What msgspec's strict row says, for pydantic."""

    model_config = pydantic.ConfigDict(strict=True)
    question: str
    chosen: str
    rejected: str
    image: str | list[str] | None = None


def each_line(file: Path, read: Callable[[bytes], object]) -> None:
    """Buffered line iteration, the fastest plain way to read lines in Python."""
    with open(file, "rb", buffering=256 * 1024) as stream:
        for line in stream:
            read(line)


def stdlib_with_checks(file: Path) -> None:
    """What a careful script does: json.loads, types, sides, placeholders, tokens, refusals, duplicates."""
    seen: set[int] = set()

    def check_row(line: bytes) -> None:
        row: dict[str, Any] = json.loads(line)
        question, chosen, rejected, image = (row[key] for key in ("question", "chosen", "rejected", "image"))
        assert all(isinstance(value, str) for value in (question, chosen, rejected, image))
        assert chosen.strip()
        assert rejected.strip()
        assert "".join(chosen.split()) != "".join(rejected.split())
        assert question.count("<image>") <= 1
        assert "<image>" not in chosen + rejected
        assert not any(_TEMPLATE.search(text) for text in (question, chosen, rejected))
        assert not _REFUSAL.search(chosen)
        number = xxhash.xxh3_64_intdigest(f"{image}\0{question}\0{chosen}\0{rejected}".encode())
        assert number not in seen
        seen.add(number)

    each_line(file, check_row)


def validated(file: Path, workers: int) -> None:
    """The whole default pipeline without images; the rows are clean, so nothing may be found."""
    report = validate([file], Options(images="none", workers=workers))
    assert not report.counts, report.counts


def peak_megabytes(file: Path) -> float:
    """Peak memory of `prefdata validate` as a process of its own."""
    program = str(Path(sys.executable).with_name("prefdata"))
    process = subprocess.Popen([program, "validate", "-q", "--images", "none", "--workers", "1", str(file)])
    _, _, usage = os.wait4(process.pid, 0)
    return usage.ru_maxrss / 1024


def header_tier(folder: Path) -> float:
    """Files per CPU second of the header tier, warm."""
    paths = [folder / f"{index}.png" for index in range(_FILES)]
    for path in paths:
        path.write_bytes(_PNG)
    seconds = [measure(lambda: [check(path, "header") for path in paths]).cpu for _ in range(3)]
    return _FILES / min(seconds)


def main() -> None:
    """Measure, print a table, write results/validate.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=500_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as name:
        folder = Path(name)
        file = write_pairs(folder / "pairs.jsonl", asked.rows)
        strict = msgspec.json.Decoder(Row).decode
        to_trl = ConvertOptions(to="trl")
        subjects: dict[str, Callable[[], object]] = {
            "orjson.loads per line": lambda: each_line(file, orjson.loads),
            "msgspec, strict": lambda: each_line(file, strict),
            "pydantic, strict": lambda: each_line(file, PydanticRow.model_validate_json),
            "stdlib json + checks": lambda: stdlib_with_checks(file),
            "prefdata validate": lambda: validated(file, 1),
            "prefdata validate, 2 processes": lambda: validated(file, 2),
            "prefdata convert to trl": lambda: convert(file, folder / "trl.jsonl", to_trl),
        }
        timings: dict[str, list[Timing]] = {subject: [] for subject in subjects}
        for _ in range(asked.rounds):
            for subject, run in subjects.items():
                timings[subject].append(measure(run))
        size, peak, files = file.stat().st_size, peak_megabytes(file), header_tier(folder)
    show(asked.rows, size, timings, peak, files)


def show(rows: int, size: int, timings: dict[str, list[Timing]], peak: float, files: float) -> None:
    """The table, and the same as JSON."""
    base, one = timings["orjson.loads per line"], timings["prefdata validate"]
    print(f"{rows} rows, {size / rows:.0f} bytes each; compiled scanner: {'mmpr' in SCANNERS}")
    figures: dict[str, float] = {}
    for subject, mine in timings.items():
        cpu = statistics.median(a.cpu / b.cpu for a, b in zip(base, mine, strict=True))
        figures[subject] = cpu
        rate = rows / statistics.median(timing.cpu for timing in mine)
        print(f"{subject:32} {rate:10,.0f} rows per CPU second   {cpu:5.2f} x orjson")
    two = timings["prefdata validate, 2 processes"]
    wall = statistics.median(a.wall / b.wall for a, b in zip(one, two, strict=True))
    against = statistics.median(a.wall / b.wall for a, b in zip(base, two, strict=True))
    copied = statistics.median(
        a.cpu / b.cpu for a, b in zip(one, timings["prefdata convert to trl"], strict=True)
    )
    limit = 150 + 16 * rows / 1e6
    print(f"two processes: {wall:.2f} x one process by the clock, {against:.2f} x orjson by the clock")
    print(f"convert to trl: {copied:.2f} x the rate of validate")
    print(f"peak memory: {peak:.0f} MiB (limit {limit:.0f})")
    print(f"header tier: {files:,.0f} files per CPU second")
    figures |= {
        "two": wall,
        "two against orjson": against,
        "convert": copied,
        "peak MiB": peak,
        "files": files,
    }
    versions = versions_of(["prefdata", "orjson", "msgspec", "pydantic"])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "validate.json").write_text(
        json.dumps({"rows": rows, "versions": versions, **figures}, indent=2)
    )


if __name__ == "__main__":
    main()
