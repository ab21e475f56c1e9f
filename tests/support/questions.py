"""Questions with recorded answers: right and wrong ones, one undecided, one question too hard and one too easy."""

import json
from pathlib import Path
from typing import Any

from tests.support.program import prefdata, write_lines

QUESTIONS: list[dict[str, Any]] = [
    {"question": "What is 2+3?", "answer": "5", "answer_type": "number", "tag": 1},
    {"question": "Is the sky green?", "answer": "no"},
    {"question": "Which?\n(A) cat\n(B) dog", "answer": "B"},
    {"question": "Too hard?", "answer": "99"},
    {"question": "Too easy?", "answer": "1"},
    {"question": "Who wrote it?", "answer": "Jane Austen"},
]
TEXTS = {
    "What is 2+3?": ["Sum.\nFinal answer: 5", "Add.\nFinal answer: 6", "Hm.\nFinal answer: 7", "I think 5"],
    "Is the sky green?": ["Look.\nFinal answer: No", "Look up.\nFinal answer: Yes"],
    "Which?\n(A) cat\n(B) dog": ["It barks.\nFinal answer: (B)", "It purrs.\nFinal answer: A. cat"],
    "Too hard?": ["x\nFinal answer: 3", "y\nFinal answer: 4"],
    "Too easy?": ["x\nFinal answer: 1", "yes\nFinal answer: 1.0"],
    "Who wrote it?": ["x\nFinal answer: Jane Austen", "y\nFinal answer: Mary Shelley"],
}


def write_inputs(folder: Path) -> Path:
    """qa.jsonl and replay.jsonl in `folder`."""
    write_lines(folder / "qa.jsonl", QUESTIONS)
    write_lines(folder / "replay.jsonl", [{"question": q, "texts": t} for q, t in TEXTS.items()])
    return folder


def cot_pairs(folder: Path, *more: object, out: str = "out") -> dict[str, Any]:
    """What a run on them prints."""
    done = prefdata(*arguments(out), *more, cwd=folder)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def arguments(out: str) -> list[object]:
    """The command that makes it."""
    return [
        *("cot-pairs", "--engine", "replay", "--checkpoint", "replay.jsonl", "--prompt-path", "qa.jsonl"),
        *("--out-dir", out, "--prompt-version", "plain", "--num-return-sequences", 12, "--fixed-n"),
    ]
