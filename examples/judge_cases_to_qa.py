"""Questions with answers out of a file of judged predictions: the first N distinct questions of each named source.

    python examples/judge_cases_to_qa.py judge_cases_dev.jsonl qa.jsonl evouna_nq=50 gsm8k_example_solutions,mr_gsm8k=50

Rows hold `source`, `question`, `answer` (and `answers` where several are right). Reading in file order and taking the
first ones gives the same questions every time; sources joined by a comma share one number.
"""

import sys
from pathlib import Path

import msgspec

from prefdata.jsonl import read_lines, write_jsonl


def main() -> None:
    """Read, take, write."""
    if len(sys.argv) < 4 or not all("=" in group for group in sys.argv[3:]):
        raise SystemExit("usage: judge_cases_to_qa.py IN.jsonl OUT.jsonl SOURCE[,SOURCE...]=N ...")
    wanted = {
        tuple(sources.split(",")): int(n) for sources, n in (group.split("=") for group in sys.argv[3:])
    }
    taken: dict[tuple[str, ...], dict[str, dict[str, object]]] = {sources: {} for sources in wanted}
    for _, line in read_lines(Path(sys.argv[1])):
        row = msgspec.json.decode(line)
        for sources, rows in taken.items():
            question = row.get("question")
            if row["source"] in sources and question and question not in rows and len(rows) < wanted[sources]:
                rows[question] = {
                    "question": question,
                    "answer": row.get("answers") or row["answer"],
                    "answer_type": row["answer_type"],
                }
    count = write_jsonl(Path(sys.argv[2]), (row for rows in taken.values() for row in rows.values()))
    print(f"{sys.argv[2]}: {count} questions")


if __name__ == "__main__":
    main()
