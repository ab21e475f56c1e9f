"""Verdicts for a person to check: 200 of them, spread evenly over the rules that made them.

A rule that decided ten answers of a million is as likely to hold a mistake as one that decided most; a plain draw would
never show it. The draw hangs on the verdicts' ids alone: the same run gives the same file, in whatever order it came.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final

import xxhash

SIZE: Final = 200
_TAIL: Final = 1500  # of a response: the answer stands at its end


class Audit:
    """Collects verdicts; memory holds at most `size` of each rule."""

    def __init__(self, size: int = SIZE) -> None:
        self._size = size
        self._kept: dict[str, list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
        self._seen = 0

    def add(
        self, identity: str, question: str, answer: Any, response: str, verdict: Mapping[str, Any]
    ) -> None:
        """One verdict, as it stands in a row (`outcome`, `rule`, `extracted`, ...)."""
        self._seen += 1
        draw = xxhash.xxh3_64_intdigest(f"audit/{identity}".encode())
        kept = self._kept[f"{verdict.get('outcome')}/{verdict.get('rule')}/{verdict.get('reason') or ''}"]
        if len(kept) == self._size and (-draw, -self._seen) < kept[0][:2]:
            return
        row = {
            "id": identity,
            "question": question,
            "answer": answer,
            "response": response[-_TAIL:],
            "verdict": dict(verdict),
            "right": None,
        }
        entry = (-draw, -self._seen, row)
        if len(kept) < self._size:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)

    def rows(self) -> list[dict[str, Any]]:
        """The sample, rule by rule. `right` is for the person: true where the verdict is as they would judge."""
        left = {name: sorted(kept, reverse=True) for name, kept in sorted(self._kept.items())}
        taken: dict[str, list[dict[str, Any]]] = defaultdict(list)
        room = self._size
        while room and any(left.values()):
            for name, entries in left.items():
                if entries and room:
                    taken[name].append(entries.pop(0)[2])
                    room -= 1
        return [row for name in sorted(taken) for row in taken[name]]


def add_sample(audit: Audit, row: Mapping[str, Any]) -> None:
    """Add a row of samples.jsonl, where it has a verdict."""
    verdict = row["meta"].get("verdict")
    if verdict:
        question = str(row.get("question_orig") or row.get("question") or "")
        audit.add(row["meta"]["id"], question, row.get("answer"), row["response"], verdict)


def of_samples(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The audit of a run, from the rows of its samples.jsonl."""
    audit = Audit()
    for row in rows:
        add_sample(audit, row)
    return audit.rows()
