"""Planning and writing a mixture of 20 sources against `prefdata validate` over the same rows, all in one process.

python -m benchmarks.mixtures [--rows 300000] [--rounds 3] [--large 3000000 [--answers 800] [--folder DIR]]

Every round runs every subject once; a subject's figure is the median over rounds of its rate (rows given per CPU
second) divided by that of validation in the same round. Factors of 0.5, 1, 1.5 and 1 give an epoch as many rows as the
files have. Two mixtures are written: one whose sources share an image root, so that rows are copied, and one in which
each source has its own, so that every image path is moved. Files lie in memory where the machine has /dev/shm; to
write costs the same everywhere but for the disk, which "copy of the files" tells apart.

`--large` adds whole commands, as a user runs them, over that many rows with answers of at most so many characters:
seconds (by the clock and of CPU) of the first plan, which makes the indexes, of the next one, of the write and of a
validation, the size of the indexes and the peak memory of each. Beside them stand the machine's own limits, measured in
the same run, each round next to the write: `cp` of the same files with an fsync of each, as `mix write` does it, and
`cat` of them. The write is compared with what ran in its round. `--folder` puts the files on a disk instead.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.harness import RESULTS, Timing, measure, versions_of
from benchmarks.pairs import pairs
from prefdata.jsonl import encode_row
from prefdata.mixtures import epoch, load, scatter
from prefdata.mixtures.index import open_index
from prefdata.mixtures.materialise import write_epoch
from prefdata.mixtures.plan import make_plan
from prefdata.validate import Options, validate

_SOURCES = 20
_FACTORS = (0.5, 1, 1.5, 1)
_CHUNK = 1 << 20


def write_sources(folder: Path, rows: int, answers: int = 0) -> list[Path]:
    """Twenty files of equally many rows; with a length of `answers`, a thousand texts repeat under new questions."""
    paths = [folder / f"s{number:02}.jsonl" for number in range(_SOURCES)]
    streams = [path.open("wb") for path in paths]
    if answers:
        ready = []
        for row in pairs(1000):
            sides = encode_row({side: row[side][-answers:] for side in ("chosen", "rejected")})
            ready.append((row["image"].encode(), b"," + sides[1:]))
        for number in range(rows):
            image, rest = ready[number % 1000]
            line = b'{"image":"%b","question":"<image>\\nWhat is $x_{%d}$?"%b' % (image, number, rest)
            streams[number % _SOURCES].write(line)
    else:
        for number, row in enumerate(pairs(rows)):
            streams[number % _SOURCES].write(encode_row(row))
    for stream in streams:
        stream.close()
    return paths


def write_mixture(folder: Path, name: str, *, roots: bool) -> Path:
    """A meta.json of the sources."""
    entries = {
        f"s{number:02}": {
            "root": f"images/s{number:02}" if roots else "images",
            "annotation": f"s{number:02}.jsonl",
            "repeat_time": _FACTORS[number % len(_FACTORS)],
        }
        for number in range(_SOURCES)
    }
    (folder / name).write_text(json.dumps(entries))
    return folder / name


def planned(mix: Path, index: str = "index") -> None:
    """What `mix plan` does."""
    mixture = load(mix)
    make_plan(mixture, [open_index(source.annotation, mix.parent / index) for source in mixture.sources])


def written(mix: Path, out: Path) -> None:
    """What `mix write` does."""
    mixture = load(mix)
    indexes = [open_index(source.annotation, mix.parent / "index") for source in mixture.sources]
    drawn = epoch(mixture, 0, 0, [len(index) for index in indexes])
    write_epoch(out, mixture, indexes, drawn, make_plan(mixture, indexes))


def copied(paths: list[Path], out: Path) -> None:
    """The least that writing so many bytes can cost."""
    with out.open("wb") as target:
        for path in paths:
            with path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    target.write(chunk)


def fresh_index(mix: Path) -> None:
    """All indexes anew."""
    for path in (mix.parent / "anew").glob("*"):
        path.unlink()
    planned(mix, "anew")


def rates(folder: Path, rows: int, rounds: int) -> dict[str, float]:
    """Rates against validation, for rows of full length."""
    paths = write_sources(folder, rows)
    one, many = (write_mixture(folder, f"{name}.json", roots=name == "roots") for name in ("one", "roots"))
    planned(one)
    subjects: dict[str, Callable[[], object]] = {
        "validate": lambda: validate(paths, Options(images="none", workers=1)),
        "write, one root": lambda: written(one, folder / "out"),
        "write, a root per source": lambda: written(many, folder / "out"),
        "make the indexes": lambda: fresh_index(one),
        "plan, indexes there": lambda: planned(one),
        "copy of the files": lambda: copied(paths, folder / "copy"),
    }
    timings: dict[str, list[Timing]] = {subject: [] for subject in subjects}
    for _ in range(rounds):
        for subject, run in subjects.items():
            timings[subject].append(measure(run))
    base = timings["validate"]
    print(
        f"{rows:,} rows of {sum(p.stat().st_size for p in paths) / rows:.0f} bytes in {_SOURCES} sources",
        end="; ",
    )
    print(f"compiled: {scatter._compiled is not None}")
    figures = {}
    for subject, mine in timings.items():
        figures[subject] = statistics.median(a.cpu / b.cpu for a, b in zip(base, mine, strict=True))
        low, high = (pick(a.cpu / b.cpu for a, b in zip(base, mine, strict=True)) for pick in (min, max))
        seconds = statistics.median(timing.cpu for timing in mine)
        print(
            f"{subject:26} {seconds:7.3f} CPU s  {figures[subject]:8.2f} x validate ({low:.2f} to {high:.2f})"
        )
    return figures


def process(folder: Path, *arguments: str) -> tuple[float, float, float]:
    """(seconds by the clock, CPU seconds, peak MiB) of a process."""
    started = time.perf_counter()
    running = subprocess.Popen(arguments, cwd=folder, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(running.pid, 0)
    if status:
        raise SystemExit(f"{arguments}: ended with {status}")
    return time.perf_counter() - started, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def command(folder: Path, *arguments: str) -> tuple[float, float, float]:
    """A command of prefdata."""
    return process(folder, str(Path(sys.executable).with_name("prefdata")), *arguments, "-q")


def bounds(folder: Path, paths: list[Path]) -> dict[str, tuple[float, float, float]]:
    """What the machine itself needs to read the files, and to copy them as safely as `mix write` does."""
    names = [path.name for path in paths]
    found = {"cat": process(folder, "sh", "-c", 'cat "$@" > /dev/null', "sh", *names)}
    script = 'mkdir copy && cp "$@" copy && sync copy/*'
    found["cp"] = process(folder, "sh", "-c", script, "sh", *names)
    shutil.rmtree(folder / "copy")
    return found


def large(folder: Path, rows: int, answers: int) -> dict[str, float]:
    """Whole commands over many rows."""
    paths = write_sources(folder, rows, answers)
    size = sum(path.stat().st_size for path in paths)
    print(
        f"{rows:,} rows of {size / rows:.0f} bytes in {_SOURCES} sources, {size / 1e9:.2f} GB, whole commands:"
    )
    write_mixture(folder, "roots.json", roots=True)
    plan = ("mix", "plan", "roots.json", "--index", "index")
    runs: dict[str, list[tuple[float, float, float]]] = {}

    def ran(name: str, found: tuple[float, float, float]) -> None:
        runs.setdefault(name, []).append(found)
        print("{:12} {:7.2f} s  {:7.2f} CPU s  peak {:.0f} MiB".format(name, *found), flush=True)

    ran("first plan", command(folder, *plan))
    ran("plan", command(folder, *plan))
    for _ in range(2):
        for name, found in bounds(folder, paths).items():
            ran(name, found)
        ran(
            "validate",
            command(folder, "validate", "--images", "none", "--workers", "1", *(p.name for p in paths)),
        )
        ran(
            "write", command(folder, "mix", "write", "roots.json", "out", "--index", "index", "--shards", "8")
        )
        shutil.rmtree(folder / "out")
    figures: dict[str, float] = {"rows": rows, "bytes": size}
    for name, times in runs.items():
        seconds, cpu, peak = (statistics.median(one[part] for one in times) for part in range(3))
        figures |= {f"{name}, s": seconds, f"{name}, CPU s": cpu, f"{name}, peak MiB": peak}
    index = sum(path.stat().st_size for path in (folder / "index").iterdir())
    figures["index MiB"] = index / 2**20
    print(f"indexes      {index / 2**20:.1f} MiB, {index / rows:.1f} bytes a row")
    for name in ("validate", "cp", "cat"):
        for clock, unit in enumerate(("by the clock", "in CPU seconds")):
            ratios = [a[clock] / b[clock] for a, b in zip(runs[name], runs["write"], strict=True)]
            print(f"write        {' and '.join(f'{ratio:.2f}' for ratio in ratios)} x {name} {unit}")
            figures[f"write, x {name} {unit}"] = statistics.median(ratios)
    print(f"limit of memory: 150 MiB + the indexes = {150 + index / 2**20:.0f} MiB")
    return figures


def main() -> None:
    """Measure, print, write results/mixtures.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--large", type=int, default=0)
    parser.add_argument("--answers", type=int, default=800)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    asked = parser.parse_args()
    document: dict[str, object] = {"versions": versions_of(["prefdata", "msgspec", "xxhash"])}
    for key, size in (("rates", asked.rows), ("large", asked.large)):
        with tempfile.TemporaryDirectory(dir=asked.folder if asked.folder.is_dir() else None) as name:
            if size:
                folder = Path(name)
                if key == "rates":
                    document[key] = rates(folder, size, asked.rounds)
                else:
                    document[key] = large(folder, size, asked.answers)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "mixtures.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
