"""Fuzz readers, sniffer and rules: nothing but a finding or a PrefdataError may come of any bytes, and in bounded time.

python benchmarks/fuzz.py [--seconds 600] [--seed 0]

Rows of all formats (catalogue examples and samples) are spoilt by a seeded generator: bytes flipped, cut, doubled,
spliced with fragments known to hurt. Each case goes through sniffing, validation under the sniffed and under a random
format, mending and conversion, which must be the same with and without its compiled part. A case that fails is written
to fuzz-SEED-CASE.bin and ends the run; such files become tests in tests/prefdata/test_fuzz_seeds.py.
"""

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path
from unittest import mock

import msgspec

from prefdata import blocks, copying
from prefdata import convert as conversion
from prefdata.errors import PrefdataError
from prefdata.findings import catalogue
from prefdata.formats import get, ids, writable
from prefdata.mending import mend
from prefdata.outcome import Options as ConvertOptions
from prefdata.readers import read_rows
from prefdata.sniff import sniff
from prefdata.splice import available
from prefdata.validate import Options, validate

# A case of a few kilobytes that takes longer is a hang in the making.
_SLOW_SECONDS = 5.0
_PIECES = (
    *(
        b"\x00",
        b"\xff",
        b"\xed\xa0\x80",
        b"\xef\xbb\xbf",
        b"\\ud83d",
        b"\\u0000",
        b"\\u003cimage>",
        b"NaN",
        b"1e999",
    ),
    *(
        b"[" * 2000,
        b'{"a":' * 2000,
        b"9" * 5000,
        b"{}",
        b"[]",
        b"null",
        b"true",
        b'""',
        b"-",
        b"\n\n",
        b"\r",
        b"'",
    ),
    *(
        b"<image>",
        b"<ImageHere>",
        b"<|im_end|>",
        b'"\\',
        b",",
        b"}",
        b"]",
        b'"',
        b":",
        b"\xc2\xa0",
        b"\xe2\x80\xa8",
    ),
    *(
        b"PAR1",
        b"\x1f\x8b\x08\x00",
        b"\x28\xb5\x2f\xfd",
        b"PK\x03\x04",
        b"../../etc/passwd",
        b"/dev/zero",
        b"data:,",
    ),
)


def corpus() -> list[bytes]:
    """A row of every format, and every example of the catalogue."""
    rows = [get(name).sample.encode() for name in ids()]
    rows += [text.encode() for each in catalogue().values() for text in (each.bad, each.good) if text]
    return rows


def case(draw: random.Random, rows: list[bytes]) -> bytes:
    """Some rows, joined as lines or as an array, then spoilt."""
    chosen = [draw.choice(rows) for _ in range(draw.randint(1, 4))]
    data = bytearray(b"[" + b",".join(chosen) + b"]" if draw.random() < 0.3 else b"\n".join(chosen) + b"\n")
    for _ in range(draw.randint(0, 6)):
        at = draw.randint(0, len(data))
        kind = draw.randrange(5)
        if kind == 0:
            data[at:at] = draw.choice(_PIECES)
        elif kind == 1:
            del data[at : at + draw.choice((1, 2, 5, 50))]
        elif kind == 2 and at < len(data):
            data[at] = draw.randrange(256)
        elif kind == 3:
            data[at:at] = data[max(0, at - draw.choice((3, 30, 300))) : at]
        else:
            data[at : at + draw.randint(0, 9)] = draw.choice(_PIECES)
    return bytes(data)


def try_all(file: Path, draw: random.Random) -> None:
    """Everything that reads a file; PrefdataError is the only exception allowed."""
    formats: list[str | None] = [None, draw.choice(ids())]
    for format_id in formats:
        options = Options(format=format_id, images="header")
        steps = (
            lambda: sniff(file),
            lambda options=options: validate([file], options),
            lambda options=options: mend(file, file.with_name("clean.jsonl"), options),
            lambda format_id=format_id: list(read_rows(file, format_id)),
            lambda format_id=format_id: convert_both_ways(file, draw.choice(writable()), format_id),
        )
        for step in steps:
            try:
                step()
            except PrefdataError:
                continue


def convert_both_ways(file: Path, to: str, source: str | None) -> None:
    """Convert by copying and row by row; both must write the same values and count the same."""
    results = []
    for way in (available, lambda: False):
        with mock.patch.object(conversion, "available", way):
            target = file.with_name("out")
            target.unlink(missing_ok=True)
            try:
                outcome: object = conversion.convert(
                    file, target, ConvertOptions(to=to, source=source, container="jsonl")
                )
            except PrefdataError as error:
                outcome = str(error)
            lines = target.read_bytes().split(b"\n")[:-1] if target.exists() else []
            results.append((outcome, [msgspec.json.decode(line) for line in lines]))
    if results[0] != results[1]:
        raise AssertionError(f"copied as {results[0]}, converted as {results[1]}")


def main() -> None:
    """Fuzz until the time is over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rows, end, number = corpus(), time.monotonic() + asked.seconds, 0
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "case.jsonl"
        while time.monotonic() < end:
            draw = random.Random(f"{asked.seed}-{number}")
            # Blocks of one row show what is learned from one and used for the next, and cut rows in odd places.
            blocks._BLOCK_BYTES = copying._BLOCK_BYTES = draw.choice((1, 100, 128 * 1024))
            data = case(draw, rows)
            file.write_bytes(data)
            before = time.process_time()
            try:
                try_all(file, draw)
                problem = ""
            except Exception as error:  # noqa: BLE001 - finding these is what the program is for
                problem = f"{type(error).__name__}: {error}"
            if time.process_time() - before > _SLOW_SECONDS:
                problem = f"took {time.process_time() - before:.1f} s"
            if problem:
                kept = Path(f"fuzz-{asked.seed}-{number}.bin")
                kept.write_bytes(data)
                print(f"case {number}: {problem}; kept as {kept}")
                sys.exit(1)
            number += 1
    print(f"{number} cases in {asked.seconds:.0f} s, nothing but findings and sentences")


if __name__ == "__main__":
    main()
