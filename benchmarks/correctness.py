"""How fast sampled files are judged and paired, and in how much memory.

    python -m benchmarks.correctness --questions 31250 --samples 32 [--cases ../shared/data/judge_cases_dev.jsonl]

Questions, answers and the words of the reasoning are those of labelled real answers (`judging.py` measures the judge
on them); a share of each question's samples gives its reference in a box, some give answers to other questions of the
type, some forget the box and some are cut off. As in files that many processes write, the samples of a question lie
apart. Then `prefdata cot-pairs --samples` runs as its own process; every process below it counts in the memory.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_CASES = Path(__file__).resolve().parents[2] / "shared" / "data" / "judge_cases_dev.jsonl"
_BLOCK = 256  # questions whose samples lie among each other
_LOOK_EVERY_SECONDS = 0.2
_CHARACTERS = (200, 1800)  # of reasoning; the mean is that of the sampled answers of an 8B model, about 1 kB


def sampled(cases: list[dict[str, Any]], questions: int, samples: int) -> Iterator[dict[str, Any]]:
    """The rows, block by block, in an order that is the same every time."""
    rng = random.Random(0)
    cases = rng.sample(cases, len(cases))
    by_type: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for case in cases:
        by_type[case["answer_type"]].append(case)
    for start in range(0, questions, _BLOCK):
        block = []
        for number in range(start, min(start + _BLOCK, questions)):
            case = cases[number % len(cases)]
            block += list(_answers(case, by_type[case["answer_type"]], cases, number, samples, rng))
        rng.shuffle(block)
        yield from block


def _answers(
    case: dict[str, Any],
    alike: list[dict[str, Any]],
    cases: list[dict[str, Any]],
    number: int,
    samples: int,
    rng: random.Random,
) -> Iterator[dict[str, Any]]:
    question = f"{case.get('question') or 'What is the result?'} (No. {number})"
    share = rng.random()
    usual = [rng.choice(alike)["answer"] for _ in range(4)]  # mistakes repeat themselves
    for _ in range(samples):
        said = case["answer"] if rng.random() < share else rng.choice(usual)
        reasoning: list[str] = []
        size = rng.randint(*_CHARACTERS)
        while sum(map(len, reasoning)) < size:
            reasoning.append(rng.choice(cases)["prediction"])
        text = "\n".join(reasoning)[:size]
        kind = rng.random()
        row = {
            "question_orig": question,
            "question": f"{question}\nAnswer: \\boxed{{$FINAL_ANSWER}}",
            "answer": case["answer"],
            "answer_type": case["answer_type"],
            "prompt_version": "en_v2",
        }
        if kind < 0.03:
            yield row | {"response": text, "finish_reason": "length"}
        elif kind < 0.06:
            yield row | {"response": f"{text}\nSo it is {said}.", "finish_reason": "stop"}
        else:
            yield row | {"response": f"{text}\nAnswer: \\boxed{{{said}}}", "finish_reason": "stop"}


class Memory(threading.Thread):
    """Watches the memory of a process and of all below it, in bytes.

    peak: pages that several of them share count once (PSS). resident: they count for each (RSS).
    """

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self.root, self.peak, self.resident, self.ended = root, 0, 0, threading.Event()

    def run(self) -> None:
        while not self.ended.wait(_LOOK_EVERY_SECONDS):
            total = {"Pss:": 0, "Rss:": 0}
            for pid in _tree(self.root):
                try:
                    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
                except OSError:
                    continue  # it has just ended
                for line in lines:
                    name, *rest = line.split()
                    if name in total:
                        total[name] += 1024 * int(rest[0])
            self.peak = max(self.peak, total["Pss:"])
            self.resident = max(self.resident, total["Rss:"])


def _tree(root: int) -> list[int]:
    found = [root]
    for pid in found:
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            try:
                found += map(int, task.read_text().split())
            except OSError:
                continue
    return found


def main() -> None:
    """Write the rows, run the command, print rate, memory and counts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--questions", type=int, default=31_250)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--cases", type=Path, default=_CASES)
    arguments = parser.parse_args()
    if not arguments.cases.is_file():
        print(f"{arguments.cases}: not here, nothing to measure")
        return
    cases = [json.loads(text) for text in arguments.cases.read_text(encoding="utf-8").splitlines()]
    with tempfile.TemporaryDirectory(prefix="prefdata-correctness-") as folder:
        file = Path(folder) / "sampled.jsonl"
        with file.open("w", encoding="utf-8") as stream:
            for row in sampled(cases, arguments.questions, arguments.samples):
                stream.write(json.dumps(row, ensure_ascii=False) + "\n")
        rows = arguments.questions * arguments.samples
        print(f"{rows:,} rows of {arguments.questions:,} questions, {file.stat().st_size / 1e6:,.0f} MB")
        command = [sys.executable, "-m", "prefdata", "cot-pairs", "--samples", str(file)]
        started = time.monotonic()
        process = subprocess.Popen([*command, "--out-dir", f"{folder}/out"], stdout=subprocess.PIPE)
        memory = Memory(process.pid)
        memory.start()
        output, _ = process.communicate()
        seconds = time.monotonic() - started
        memory.ended.set()
        result = json.loads(output)
        print(
            f"{seconds:.0f} s, {rows / seconds:,.0f} rows/s; peak {memory.peak / 1e6:.0f} MB of all processes "
            f"({memory.resident / 1e6:.0f} MB where shared pages count for each); {result['pair_count']:,} pairs, "
            f"{result['format_pairs']:,} format pairs"
        )


if __name__ == "__main__":
    main()
