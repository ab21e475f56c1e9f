"""A record as the page shows it: turns, answers, provenance, all as plain values for JSON.

Every text is bounded here, so that one enormous row cannot make the page slow; what was cut is counted and told.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from prefdata.records import MediaRef, Message, Record, Text, place_media
from prefdata.stats import answers_of, prompt_of

MAX_TEXT = 12_000
_MAX_VALUE = 600
_BRIEF = 90
# Provenance people look for first; other keys follow in the row's own order.
_FIRST = ("method", "model", "engine", "finish_reason", "sampling", "seed", "judge", "id")


def entry_of(record: Record, source: int, line: int, hits: list[tuple[str, str, str]]) -> dict[str, Any]:
    """The page's row: `images` are filled in later, where thumbnails are made."""
    meta = record.meta.get("meta")
    meta = meta if isinstance(meta, Mapping) else {}
    verdicts = meta.get("verdicts")
    verdicts = verdicts if isinstance(verdicts, Mapping) else {}
    prompt = [_turn(turn) for turn in place_media(prompt_of(record), record.media)]
    asked = next((turn.text for turn in reversed(prompt_of(record)) if turn.role == "user"), "")
    return {
        "source": source,
        "line": line,
        "hits": hits,
        "brief": " ".join(asked.split())[:_BRIEF],
        "prompt": prompt,
        "answers": [
            {"side": answer.side, "label": answer.label, "verdict": _verdict(verdicts.get(answer.side))}
            | _bounded(answer.text)
            for answer in answers_of(record)
        ]
        or [{"side": "answer", "label": "No answer", "verdict": None, "text": "", "cut": 0}],
        "images": [],
        "origin": _origin(record, meta),
    }


def _turn(turn: Message) -> dict[str, Any]:
    text = "".join(
        part.text if isinstance(part, Text) else f"⟦image {part.index + 1}⟧"
        for part in turn.content
        if isinstance(part, Text | MediaRef)
    )
    return {"role": turn.role} | _bounded(text)


def _bounded(text: str) -> dict[str, Any]:
    return {"text": text[:MAX_TEXT], "cut": max(0, len(text) - MAX_TEXT)}


def _verdict(verdict: Any) -> dict[str, str] | None:
    """{"outcome", "told"} of a verdict as generation writes it."""
    if not isinstance(verdict, Mapping) or verdict.get("outcome") not in ("correct", "wrong", "undecided"):
        return None
    told = [f"by rule {verdict['rule']}"] if verdict.get("rule") else []
    told += [f"{key} {_value(verdict[key])}" for key in ("extracted", "gold", "reason") if verdict.get(key)]
    return {"outcome": str(verdict["outcome"]), "told": ", ".join(told)}


def _origin(record: Record, meta: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Provenance and every other key the row carries."""
    first = [(name, _value(meta[name])) for name in _FIRST if name in meta]
    rest = [(str(name), _value(value)) for name, value in meta.items() if name not in _FIRST]
    carried = [
        (str(name), _value(value))
        for name, value in record.meta.items()
        if not (name == "meta" and isinstance(value, Mapping))
    ]
    own = [("id", record.id)] if record.id is not None else []
    margin = getattr(record, "margin", None)
    return own + ([("margin", f"{margin:g}")] if margin is not None else []) + first + rest + carried


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=repr).decode()
    return (
        text
        if len(text) <= _MAX_VALUE
        else f"{text[:_MAX_VALUE]}… ({len(text) - _MAX_VALUE} more characters)"
    )
