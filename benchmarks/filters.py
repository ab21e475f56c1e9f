"""How many good answers the filters of `dropout-ntp` would drop: real answers in the place of continuations.

    python -m benchmarks.filters [../shared/data] [--show 20]

Every answer of every file that can be read, and every `prediction` of the judging cases, is cut at a quarter, a half
and three quarters of its words. Its rest is judged as a continuation of the part before, which stands for the good
answer: what somebody wrote on in the same answer is in its language and seldom loops. Commentary is looked for in whole
answers.
`--show` prints so many of the texts that each filter would drop, because only a reader knows whether it is right.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from pipelines.commentary import comments_on_itself
from pipelines.language import other_language
from pipelines.splitting import prefix_of
from prefdata.errors import PrefdataError
from prefdata.readers import read_rows
from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Message,
    PreferencePair,
    Question,
    RankedCandidates,
    Record,
)
from prefdata.rules.repetition import loop

_DEFAULT = Path(__file__).resolve().parents[2] / "shared" / "data"
_SUFFIXES = {".json", ".jsonl", ".parquet"}
_CASES = "judge_cases"
_RATIOS = (0.25, 0.5, 0.75)


def answers(folder: Path) -> Iterator[tuple[Path, str]]:
    """The different answers of the files below `folder`; a file counts up to its first broken row."""
    seen = set()
    for path in sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES):
        for text in _texts(path):
            if text.strip() and text not in seen:
                seen.add(text)
                yield path, text


def _texts(path: Path) -> Iterator[str]:
    if path.name.startswith(_CASES):
        yield from (msgspec.json.decode(line)["prediction"] for line in path.read_bytes().splitlines())
        return
    try:
        for located in read_rows(path):
            yield from _said(located.record)
    except PrefdataError:
        return  # up to its first broken row


def _said(record: Record) -> list[str]:
    turns: tuple[Message, ...]
    match record:
        case Conversation():
            turns = record.messages
        case PreferencePair():
            turns = record.chosen + record.rejected
        case LabelledAnswer():
            turns = record.answer
        case RankedCandidates():
            turns = tuple(turn for candidate in record.candidates for turn in candidate.messages)
        case Question():
            return [record.chosen] if record.chosen else []
    return [turn.text for turn in turns if turn.role == "assistant"]


def main() -> None:
    """Print one JSON line of counts; the texts go to standard error."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=_DEFAULT)
    parser.add_argument("--show", type=int, default=0)
    options = parser.parse_args()
    files, number, cuts = set(), 0, 0
    found: dict[str, list[str]] = {"language": [], "repetition": [], "commentary": []}
    for path, answer in answers(options.folder):
        files.add(path)
        number += 1
        if comments_on_itself(answer):
            found["commentary"].append(answer)
        for ratio in _RATIOS:
            prefix = prefix_of(answer, ratio, "word", lambda text: [], lambda ids: "")
            if not prefix:
                continue
            cuts += 1
            rest = answer[len(prefix) :]
            if other_language(rest, "", prefix):
                found["language"].append(f"{prefix}|||{rest}")
            if loop(rest) and not loop(answer):
                found["repetition"].append(f"{prefix}|||{rest}")
    for name, texts in found.items():
        for text in texts[: options.show]:
            sys.stderr.write(f"--- {name}: {text}\n")
    counts = {name: len(texts) for name, texts in found.items()}
    print(msgspec.json.encode({"files": len(files), "answers": number, "cuts": cuts, **counts}).decode())


if __name__ == "__main__":
    main()
