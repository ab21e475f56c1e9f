"""The counts of a run."""

import json
from pathlib import Path

from tests.support.program import prefdata, write_lines


def test_the_length_gap_before_is_of_what_pairs_are_selected_from(tmp_path: Path) -> None:
    # One right response is said three times, another one was cut off: neither may weigh in one of the two only.
    rows = [
        {
            "question": "a?",
            "answer": "3",
            "response": f"{text}\nFinal answer: {said}",
            "finish_reason": reason,
        }
        for text, said, reason in (
            *[("x" * 20, 3, "stop")] * 3,
            ("y" * 90, "3.\n" + "z" * 50, "length"),
            ("v", 4, "stop"),
        )
    ]
    write_lines(tmp_path / "sampled.jsonl", rows)
    arguments = ("cot-pairs", "--samples", "sampled.jsonl", "--out-dir", "out")
    result = json.loads(prefdata(*arguments, cwd=tmp_path).stdout)
    assert (result["correct"], result["wrong"], result["pair_count"]) == (4, 1, 1)
    assert result["length_gap"] == result["length_distance"] == {"before": 19.0, "after": 19.0}
