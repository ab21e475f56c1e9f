"""What can happen to a run, done to the real program: kills, stalls, dead servers, torn files, full disks.

Each function does one fault and returns what was expected and what was seen; `tests/pipelines/test_kill.py` runs them
small, `benchmarks/faults.py` large, and prints the table. "The bytes" are those of every result file of a run that
nobody touched.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from tests.support.hostile_server import hostile
from tests.support.program import read_lines, write_lines

PATIENCE = 120.0
RESULTS = ("pairs.jsonl", "dropped.jsonl", "meta.json", "README.md", "report.html")


@dataclass(frozen=True)
class Outcome:
    """One line of the table."""

    fault: str
    expected: str
    seen: str
    ok: bool


@dataclass(frozen=True)
class Subject:
    """A command that makes a run below the folder given to `command`."""

    name: str
    folder: Path
    engine: tuple[str, ...]

    def command(self, out: Path, *more: str) -> list[str]:
        """The command line of the run."""
        return [
            *(
                sys.executable,
                "-m",
                "prefdata",
                "dropout-ntp",
                "--prompt-path",
                str(self.folder / "rows.jsonl"),
            ),
            *("--out-dir", str(out), "--num-return-sequences", "2", *self.engine, *more),
        ]


def rows(number: int) -> list[dict[str, Any]]:
    """Rows of every kind: text, Chinese, a formula, one word, twice the same."""
    made: list[dict[str, Any]] = [
        {"id": n, "question": f"What is {n}?", "chosen": f"It is the number {n}, and nothing else at all."}
        for n in range(number)
    ]
    made[3] = {"question": "Short?", "chosen": "yes"}
    made[5] = made[4]
    made[6] = {"question": "图中有什么？", "chosen": "图中有一只红色的狗和一只白色的猫，它们坐在沙发上。"}
    made[7] = {"question": "x?", "chosen": r"So we get $a + b = c + d$, **and that** is the end of it."}
    return made


def replay(
    folder: Path, number: int = 60, *, delay: float = 0.02, batch: int = 1, copies: int = 1
) -> Subject:
    """Answers from a file, a little slow so that there is time to be killed in."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "rows.jsonl", rows(number))
    texts = [" goes on.", " or so they say.", " I cannot see the image.", " and then some."]
    write_lines(folder / "answers.jsonl", [{"texts": texts}])
    engine = ("--engine", "replay", "--checkpoint", str(folder / "answers.jsonl"), "--batch-size", "4")
    paced = ("--engine-arg", f"delay={delay}", "--engine-arg", f"batch_size={batch}")
    several = ("--dp", str(copies)) if copies > 1 else ()
    name = f"replay, {f'{copies} copies' if several else f'batches of {batch}'}"
    return Subject(name, folder, (*engine, *paced, *several))


def bundled_model(folder: Path, number: int = 100) -> Subject:
    """The bundled model on the transformers engine, sampling."""
    folder.mkdir(parents=True, exist_ok=True)
    write_lines(folder / "rows.jsonl", rows(number))
    engine = ("--checkpoint", "demo", "--batch-size", "4", "--temperature", "1", "--top-k", "0")
    return Subject(
        "transformers, bundled model", folder, (*engine, "--max-new-tokens", "48", "--keep-truncated")
    )


def finish(arguments: Sequence[str]) -> Path:
    """Run to the end; the run directory."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return Path(msgspec.json.decode(done.stdout)["run"])


def result(run: Path) -> dict[str, Any]:
    """The bytes of a run's files, and what run.json counts."""
    files: dict[str, Any] = {name: (run / name).read_bytes() for name in RESULTS if (run / name).exists()}
    return files | {"counts": msgspec.json.decode((run / "run.json").read_bytes())["counts"]}


def run_of(out: Path) -> Path | None:
    """The run directory below `out`, once there is one."""
    return next((manifest.parent for manifest in out.glob("*/*/run.json")), None)


def twice(run: Path) -> list[str]:
    """Ids that stand twice in the parts or among the pairs."""
    parts = [row["id"] for part in sorted(run.glob("parts/*.jsonl")) for row in read_lines(part)]
    pairs = [row["meta"]["id"] for row in read_lines(run / "pairs.jsonl")]
    return [name for ids in (parts, pairs) for name, count in Counter(ids).items() if count > 1]


def kept_lines(out: Path) -> int:
    """Whole lines in the parts."""
    return sum(part.read_bytes().count(b"\n") for part in out.glob("*/*/parts/*.jsonl"))


@contextmanager
def started(arguments: Sequence[str]) -> Iterator[subprocess.Popen[str]]:
    """The command in the background; killed at the end of the block if it still runs."""
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Until something holds, or the process has ended."""
    deadline = time.monotonic() + PATIENCE
    while not condition() and process.poll() is None:
        assert time.monotonic() < deadline, "nothing happened"
        time.sleep(0.003)


def same(expected: dict[str, Any], run: Path) -> str:
    """`the bytes`, or which files differ."""
    found = result(run)
    differ = [name for name in {*expected, *found} if expected.get(name) != found.get(name)]
    return "other " + ", ".join(sorted(differ)) if differ else "the bytes"


def killed(
    subject: Subject, work: Path, kills: int, seed: int = 0, signals: Sequence[int] = (signal.SIGKILL,)
) -> Outcome:
    """The program ended at so many random moments of its life, started again after each."""
    expected = result(finish(subject.command(work / "whole")))
    total = kept_lines(work / "whole")
    began = time.monotonic()
    finish(subject.command(work / "timed"))
    length = time.monotonic() - began
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    wrong: list[str] = []
    out, arguments = work / "killed", subject.command(work / "killed")

    def compare(run: Path) -> None:
        seen["runs ended"] += 1
        wrong.extend(name for name in [same(expected, run)] if name != "the bytes")
        wrong.extend(f"{name} twice" for name in twice(run))

    while seen["kills"] < kills:
        before = kept_lines(out)
        with started(arguments) as process:
            # Any moment of its life; a moment after some more results; a moment around the end.
            moment = rng.choice(("any", "results", "results", "end"))
            if moment == "any":
                time.sleep(rng.uniform(0, length))
            elif moment == "results" and before == total:
                process.wait(PATIENCE)  # nothing is left to be killed among: the next one begins anew
            else:
                enough = total if moment == "end" else min(total, before + rng.randint(1, max(1, total // 5)))
                wait_for(lambda: kept_lines(out) >= enough, process)  # noqa: B023 (called at once)
                time.sleep(rng.uniform(0, length / 4 if moment == "end" else 0.02))
            if process.poll() is None:
                process.send_signal(rng.choice(signals))
                process.wait(PATIENCE)
                seen["kills"] += 1
                now = kept_lines(out)
                seen["at the end" if now == total else "among results" if now else "before a result"] += 1
                continue
        compare(next(out.glob("*/*")))
        shutil.rmtree(out)
    compare(finish(arguments))
    compare(finish(arguments))  # a finished run asked again is the same run
    how = ", ".join(
        f"{number} {what}" for what, number in seen.items() if what not in ("kills", "runs ended")
    )
    names = "/".join(signal.Signals(number).name for number in signals)
    return Outcome(
        f"{kills} x {names} at random moments ({subject.name})",
        "the same command again ends with the bytes, nothing twice",
        f"{seen['kills']} kills ({how}); {seen['runs ended']} finished runs, "
        + ("all with the bytes, nothing twice" if not wrong else "; ".join(sorted(set(wrong)))),
        not wrong,
    )


def stopped(subject: Subject, work: Path, number: signal.Signals) -> Outcome:
    """SIGTERM or SIGINT in the middle: a sentence, and resumable."""
    expected = result(finish(subject.command(work / "whole")))
    arguments = subject.command(work / "stopped")
    with started(arguments) as process:
        wait_for(lambda: kept_lines(work / "stopped") > 4, process)
        process.send_signal(number)
        _, errors = process.communicate(timeout=PATIENCE)
    lines = kept_lines(work / "stopped")
    after = same(expected, finish(arguments))
    said = "Run the same command again to go on" in errors and "Traceback" not in errors
    return Outcome(
        f"{number.name} in the middle",
        "exit code 130 and a sentence; the same command ends with the bytes",
        f"exit code {process.returncode}, {_last(errors)!r}, {lines} lines kept; then {after}",
        said and process.returncode == 130 and lines > 4 and after == "the bytes",
    )


def stalled(work: Path) -> Outcome:
    """An engine that hangs once: restarted."""
    subject = replay(work / "inputs", 20, delay=0)
    expected = result(finish(subject.command(work / "whole", "--seed", "1")))
    answers = read_lines(subject.folder / "answers.jsonl")
    hanging = {**answers[0], "question": "What is 9?", "stalls": 1}
    write_lines(subject.folder / "answers.jsonl", [answers[0], hanging])
    arguments = subject.command(work / "stalled", "--seed", "1", "--stall-timeout", "0.5")
    done = subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=PATIENCE)
    run = Path(msgspec.json.decode(done.stdout)["run"])
    # The model's hash differs (another file of answers), the answers may not.
    strip = [(row["question"], row["rejected"]) for row in read_lines(run / "pairs.jsonl")]
    whole = [
        (row["question"], row["rejected"])
        for row in map(msgspec.json.decode, expected["pairs.jsonl"].splitlines())
    ]
    said = "the engine is restarted, 1 requests are asked again" in done.stderr
    good = said and strip == whole and not twice(run)
    return Outcome(
        "the engine stalls (--stall-timeout 0.5)",
        "restarted, what was owed is asked again, the same pairs",
        f"exit code {done.returncode}, {'restarted' if said else 'no restart'}, "
        f"{'the same pairs, nothing twice' if strip == whole and not twice(run) else 'other pairs'}",
        good and done.returncode == 0,
    )


def server_dies(work: Path) -> Outcome:
    """A server that dies in the middle, and comes back."""
    folder = work / "inputs"
    folder.mkdir(parents=True)
    write_lines(folder / "rows.jsonl", rows(40))
    engine = ("--engine", "openai", "--checkpoint", "counter", "--split-unit", "word", "--batch-size", "2")
    subject = Subject("server", folder, (*engine, "--engine-arg", "retries=1"))
    with hostile(prefix="fields") as server:
        expected = result(finish(subject.command(work / "whole", "--base-url", server.base_url)))
    with hostile(prefix="fields") as server:
        arguments = subject.command(work / "dead", "--base-url", server.base_url)
        with started(arguments) as process:
            wait_for(lambda: kept_lines(work / "dead") > 8, process)
            server.die()
            _, errors = process.communicate(timeout=PATIENCE)
    lines = kept_lines(work / "dead")
    with hostile(prefix="fields") as server:
        after = same(expected, finish(subject.command(work / "dead", "--base-url", server.base_url)))
    return Outcome(
        "the server dies in the middle",
        "exit code 1 and a sentence; with the server back the same command ends with the bytes",
        f"exit code {process.returncode}, {_sentence(errors)!r}, {lines} lines kept; then {after}",
        process.returncode == 1 and "Traceback" not in errors and 0 < lines < 40 and after == "the bytes",
    )


def torn(work: Path, cuts: int, seed: int = 0) -> Outcome:
    """The parts cut off at random bytes, and a block of zeros in the middle, as a power failure leaves them."""
    subject = replay(work / "inputs", 30, delay=0)
    arguments = subject.command(work / "torn")
    run = finish(arguments)
    expected, part = result(run), run / "parts/0.jsonl"
    whole = part.read_bytes()
    rng = random.Random(seed)
    seen: Counter[str] = Counter()
    for number in range(cuts):
        place = rng.randrange(len(whole))
        zeros = bytes(64) + b"\n" if number % 2 else b""
        part.write_bytes(whole[:place] if not zeros else whole[:place] + zeros + whole[place:])
        seen[same(expected, finish(arguments))] += 1
        seen["twice"] += len(twice_in_part(part))
    return Outcome(
        f"{cuts} x the parts torn at a random byte, every second time with zeros inside",
        "what was torn is owed again; the bytes, nothing twice",
        f"{seen['the bytes']} of {cuts} times the bytes, {seen['twice']} ids twice",
        seen["the bytes"] == cuts and not seen["twice"],
    )


def twice_in_part(part: Path) -> list[str]:
    """Ids of results that stand twice in one part; unreadable lines are no results."""
    ids = []
    for line in part.read_bytes().splitlines():
        try:
            ids.append(msgspec.json.decode(line)["id"])
        except (msgspec.DecodeError, TypeError):
            continue
    return [name for name, count in Counter(ids).items() if count > 1]


def edited(work: Path) -> Outcome:
    """A line of the parts that somebody edited."""
    subject = replay(work / "inputs", 12, delay=0)
    arguments = subject.command(work / "edited")
    run = finish(arguments)
    expected, part = result(run), run / "parts/0.jsonl"
    lines = read_lines(part)
    lines[-1]["pairs"] = [{"question": "?"}]
    write_lines(part, lines)
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    write_lines(part, lines[:-1])
    after = same(expected, finish(arguments))
    return _refused("an edited line of the parts", done, "cannot be used", after)


def other_settings(work: Path) -> Outcome:
    """Another setting, the same folder."""
    subject = replay(work / "inputs", 12, delay=0)
    run = finish(subject.command(work / "run"))
    expected = result(run)
    other = subprocess.run(
        subject.command(work / "run", "--top-k", "7"), capture_output=True, text=True, check=False
    )
    return _refused("another setting (--top-k 7)", other, "top_k was 50 and is now 7", same(expected, run))


def other_input(work: Path) -> Outcome:
    """The input file has changed since the run began."""
    subject = replay(work / "inputs", 12, delay=0)
    run = finish(subject.command(work / "run"))
    expected, source = result(run), subject.folder / "rows.jsonl"
    before = source.read_bytes()
    source.write_bytes(before.replace(b"number 9", b"number 8"))
    other = subprocess.run(subject.command(work / "run"), capture_output=True, text=True, check=False)
    source.write_bytes(before)
    return _refused(
        "a changed input file", other, "prompts was ", same(expected, finish(subject.command(work / "run")))
    )


def two_writers(work: Path) -> Outcome:
    """A second process on a run that is being written."""
    subject = replay(work / "inputs", 30, delay=0.05)
    expected = result(finish(subject.command(work / "whole")))
    arguments = subject.command(work / "run")
    with started(arguments) as first:
        wait_for(lambda: kept_lines(work / "run") > 0, first)
        first.send_signal(signal.SIGSTOP)  # it holds the run, however long the other one takes to start
        second = subprocess.run(arguments, capture_output=True, text=True, check=False)
        first.send_signal(signal.SIGCONT)
        first.communicate(timeout=PATIENCE)
    run = run_of(work / "run")
    assert run is not None
    return _refused(
        "two processes on one run", second, "another process is writing to this run", same(expected, run)
    )


def can_mount() -> bool:
    """Whether this process may have a file system of its own."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


def full_disk(work: Path, *, at_the_end: bool = False) -> Outcome:
    """A disk (tmpfs) that is full half way, or when the files are written; given space, started again."""
    subject = replay(work / "inputs", 60, delay=0)
    whole = finish(subject.command(work / "whole"))
    expected = result(whole)
    disk, kept = work / "disk", work / "kept"
    disk.mkdir()
    # A page is 4 KiB: at the end there is room for the parts, run.json and little more.
    pages = (whole / "parts/0.jsonl").stat().st_size // 4096 + 4 if at_the_end else 6
    done = _own_mounts(
        f'mount -t tmpfs -o size={4 * pages}k none "{disk}"; "$@"; first=$?\n'
        f'mount -o remount,size=8m "{disk}"; ls -A "{disk}"/*/*/ >&2; "$@"; cp -r "{disk}" "{kept}"; exit $first',
        subject.command(disk),
    )
    run = run_of(kept)
    # The mixture entry names the folder of the run, which was another one.
    there = str(disk / whole.relative_to(work / "whole"))
    expected["meta.json"] = expected["meta.json"].replace(str(whole).encode(), there.encode())
    after = same(expected, run) if run is not None else "no run"
    said = "no space left on the device" in done.stderr and "Traceback" not in done.stderr
    half = ".tmp" in done.stderr or (at_the_end and "0.jsonl: no space" in done.stderr)
    return Outcome(
        f"a full disk (tmpfs of {4 * pages} KiB: {'when the files are written' if at_the_end else 'half way'})",
        "exit code 1 and a sentence, no half files; with space the same command ends with the bytes",
        f"exit code {done.returncode}, {_sentence(done.stderr)!r}{', half files' if half else ''}; then {after}",
        said and done.returncode == 1 and after == "the bytes" and not half,
    )


def limited_file(work: Path) -> Outcome:
    """A limit on the size of files (ulimit -f), hit half way through a line."""
    subject = replay(work / "inputs", 60, delay=0)
    expected = result(finish(subject.command(work / "whole")))
    limited = ["bash", "-c", 'ulimit -f 16; trap "" XFSZ; exec "$@"', "-", *subject.command(work / "run")]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    return _refused(
        "a limit on the size of files (ulimit -f 16)",
        done,
        "0.jsonl: File too large",
        same(expected, finish(subject.command(work / "run"))),
    )


def read_only(work: Path) -> Outcome:
    """A folder that cannot be written (a read-only mount: it stops root, too)."""
    subject = replay(work / "inputs", 12, delay=0)
    run = finish(subject.command(work / "run"))
    expected = result(run)
    part = run / "parts/0.jsonl"
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:-2]))
    out = work / "run"
    done = _own_mounts(
        f'mount --bind "{out}" "{out}"; mount -o remount,bind,ro "{out}"; exec "$@"', subject.command(out)
    )
    after = same(expected, finish(subject.command(out)))
    return _refused("a read-only folder", done, "permission denied; choose a place", after)


def _own_mounts(script: str, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    arguments = ["unshare", "-m", "sh", "-c", script, "sh", *command]
    return subprocess.run(
        arguments, capture_output=True, text=True, check=False, timeout=PATIENCE, env=os.environ
    )


def _refused(fault: str, done: subprocess.CompletedProcess[str], sentence: str, after: str) -> Outcome:
    said = sentence in done.stderr and "Traceback" not in done.stderr
    return Outcome(
        fault,
        "exit code 2 and a sentence; what was there stays, or is made again",
        f"exit code {done.returncode}, {_sentence(done.stderr)!r}; then {after}",
        said and done.returncode == 2 and after == "the bytes",
    )


def _sentence(errors: str) -> str:
    """The error a user sees, with paths shortened."""
    lines = [line for line in errors.splitlines() if line.startswith("error: ")]
    return _short(lines[0]) if lines else _last(errors)


def _last(errors: str) -> str:
    return _short(errors.strip().rpartition("\n")[2])


def _short(line: str) -> str:
    words = [word if "/" not in word else ".../" + word.rpartition("/")[2] for word in line.split(" ")]
    return " ".join(words)
