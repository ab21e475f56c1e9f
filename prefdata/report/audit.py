"""The verdicts of a run that are there for a person to check (`audit.jsonl`), as the page shows them.

The file lies beside the pairs of a generation run. Its rows come rule by rule, because a rule's mistakes are seen best
side by side. A row that is no verdict is left out and counted: the file may have been edited by hand, which is its
purpose. The page of many runs shows each rule's first rows and says how many there are.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from prefdata.jsonl import read_lines
from prefdata.mixtures.model import Source

_NAME: Final = "audit.jsonl"
_MOST: Final = 200  # rows of one rule on the page; a run's own file holds 200 in all
_SHOWN: Final = 600  # characters of a question or a response


class _Verdict(msgspec.Struct):
    outcome: str
    rule: str
    reason: str = ""
    extracted: str | None = None


class _Row(msgspec.Struct):
    question: str
    answer: Any
    response: str
    verdict: _Verdict
    right: bool | None = None


def audit_of(sources: Sequence[Source]) -> dict[str, Any] | None:
    """`{"groups": [{"outcome", "rule", "of", "rows": [...]}], "rows", "checked", "agreed", "unread"}`.

    rows: all of the files; of: all of a rule. None without such a file.
    """
    files = [source.annotation.with_name(_NAME) for source in sources]
    found = [file for file in dict.fromkeys(files) if file.is_file()]
    if not found:
        return None
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    sizes: Counter[tuple[str, str]] = Counter()
    unread = checked = agreed = 0
    for file in found:
        for _, line in read_lines(file):
            try:
                row = msgspec.json.decode(line, type=_Row)
            except msgspec.DecodeError:
                unread += 1
                continue
            checked += row.right is not None
            agreed += row.right is True
            rule = row.verdict.rule + (f" ({row.verdict.reason})" if row.verdict.reason else "")
            group = (row.verdict.outcome, rule)
            sizes[group] += 1
            if sizes[group] <= _MOST:
                groups.setdefault(group, []).append(_shown(row))
    return {
        "groups": [
            {"outcome": outcome, "rule": rule, "of": sizes[outcome, rule], "rows": shown}
            for (outcome, rule), shown in groups.items()
        ],
        "rows": sizes.total(),
        "checked": checked,
        "agreed": agreed,
        "unread": unread,
    }


def _shown(row: _Row) -> dict[str, Any]:
    reference = row.answer if isinstance(row.answer, str) else msgspec.json.encode(row.answer).decode()
    return {
        "question": _start(row.question),
        "reference": _start(reference),
        "extracted": row.verdict.extracted,
        "response": row.response if len(row.response) <= _SHOWN else "… " + row.response[-_SHOWN:],
        "right": row.right,
    }


def _start(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + " …"
