"""Verdicts for a person to check: 200 of them, spread evenly over the rules that made them.

A rule that decided ten answers of a million is as likely to hold a mistake as one that decided most; a plain draw would
never show it. The draw hangs on the verdicts' ids alone: the same run gives the same file, in whatever order it came.
What a person has filled in stays, row and all, where the file is written again, as long as response and verdict are
the same.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec
import xxhash

from prefdata.errors import PrefdataError
from prefdata.jsonl import read_lines
from prefdata.progress import say

SIZE: Final = 200
_TAIL: Final = 1500  # of a response: the answer stands at its end


class Audit:
    """Collects verdicts; memory holds at most `size` of each rule, and those that a person has judged.

    files: earlier audits of the same run or of its shards; what is filled in there is kept.
    """

    def __init__(self, files: Iterable[Path] = (), size: int = SIZE) -> None:
        self._size = size
        self._kept: dict[str, list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
        self._checked: dict[str, list[tuple[int, int, dict[str, Any]]]] = defaultdict(list)
        self._marks = _marks(files)
        self._seen = 0

    def add(
        self, identity: str, question: str, answer: Any, response: str, verdict: Mapping[str, Any]
    ) -> None:
        """One verdict, as it stands in a row (`outcome`, `rule`, `extracted`, ...)."""
        self._seen += 1
        draw = xxhash.xxh3_64_intdigest(f"audit/{identity}".encode())
        rule = f"{verdict.get('outcome')}/{verdict.get('rule')}/{verdict.get('reason') or ''}"
        kept = self._kept[rule]
        marked = identity in self._marks
        if not marked and len(kept) == self._size and (-draw, -self._seen) < kept[0][:2]:
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
        if marked and (judged := _judged(row)) in self._marks[identity]:
            row["right"] = self._marks[identity].pop(judged)
            self._checked[rule].append(entry)
        elif len(kept) < self._size:
            heapq.heappush(kept, entry)
        else:
            heapq.heappushpop(kept, entry)

    def rows(self) -> list[dict[str, Any]]:
        """The sample, rule by rule. `right` is for the person: true where the verdict is as they would judge."""
        if lost := sum(map(len, self._marks.values())):
            say(f"audit: {lost} filled-in rows are left out, because response or verdict is another one now.")
        taken = {
            rule: sorted(self._checked[rule], reverse=True) for rule in sorted({*self._kept, *self._checked})
        }
        left = {rule: sorted(self._kept[rule]) for rule in taken}  # the next one is the last
        room = self._size - sum(map(len, taken.values()))
        while room > 0 and any(left.values()):
            rule = min((rule for rule in left if left[rule]), key=lambda rule: len(taken[rule]))
            taken[rule].append(left[rule].pop())
            room -= 1
        return [row for entries in taken.values() for _, _, row in sorted(entries, reverse=True)]


def _marks(files: Iterable[Path]) -> dict[str, dict[bytes, Any]]:
    """What a person filled in: by the id of the row, then by what was judged there."""
    marks: dict[str, dict[bytes, Any]] = defaultdict(dict)
    for file in filter(Path.exists, files):
        for number, line in read_lines(file):
            try:
                row = msgspec.json.decode(line, type=dict[str, Any])
                if row["right"] is not None:
                    marks[row["id"]][_judged(row)] = row["right"]
            except (msgspec.DecodeError, KeyError) as error:
                raise PrefdataError(
                    f"{file}: line {number} is no row of an audit, and it may hold what a person filled in; "
                    "mend it, or move the file away."
                ) from error
    return marks


def _judged(row: Mapping[str, Any]) -> bytes:
    return msgspec.json.encode((row["response"], row["verdict"]), order="sorted")


def add_sample(audit: Audit, row: Mapping[str, Any]) -> None:
    """Add a row of samples.jsonl, where it has a verdict."""
    verdict = row["meta"].get("verdict")
    if verdict:
        question = str(row.get("question_orig") or row.get("question") or "")
        audit.add(row["meta"]["id"], question, row.get("answer"), row["response"], verdict)


def of_samples(rows: Iterable[Mapping[str, Any]], files: Iterable[Path]) -> list[dict[str, Any]]:
    """The audit of a run, from the rows of its samples.jsonl and what was filled in in `files`."""
    audit = Audit(files)
    for row in rows:
        add_sample(audit, row)
    return audit.rows()
