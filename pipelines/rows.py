"""What stands in the files of a `cot-pairs` run: a sample, a pair, a question.

Rows keep the input's keys and say in `meta` what they come from. They hold no times and nothing that depends on when a
sample came.
"""

from collections import Counter
from collections.abc import Sequence
from functools import cache
from typing import Any, Final

import msgspec

from pipelines.drawn import brief
from pipelines.engines.base import Sampling
from pipelines.judging import version
from pipelines.pairing import Judged
from pipelines.questions import source_id
from prefdata import __version__

# What the model was asked: whoever trains on a pair has to show the same.
_PROMPT_KEYS: Final = ("image", "system_prompt", "question")
MAKER_KEYS: Final = ("engine", "model", "model_hash", "template_hash", "sampling")

judge_version = cache(version)


def sample_row(
    question: dict[str, Any], index: int, one: Judged, sampling: Sampling | None
) -> dict[str, Any]:
    """A row of samples.jsonl. A question without an answer has samples but no verdicts."""
    meta = {
        "id": f"{question['id']}-{index}",
        "question_id": question["id"],
        **_source(question),
        **_maker(one, sampling),
        "version": __version__,
        "judge": question.get("judge") or judge_version(),
    }
    if question["row"].get("answer") is not None:
        meta["verdict"] = brief(one.verdict)
    asked: dict[str, Any] = question["row"]
    return asked | {
        "response": one.response,
        "finish_reason": one.finish_reason,
        "seed": one.seed,
        "meta": meta,
    }


def pair_row(
    question: dict[str, Any],
    chosen: Judged,
    rejected: Judged,
    identity: str,
    method: str,
    sampling: Sampling | None,
) -> dict[str, Any]:
    """A row of pairs.jsonl or format_pairs.jsonl."""
    asked = question["row"]
    row = {key: asked[key] for key in _PROMPT_KEYS if asked.get(key) not in (None, "", [])}
    edited = {}
    if chosen.fix is not None:
        start, end = chosen.fix.at
        edited["answer_fix"] = {"from": chosen.response[start:end], "to": chosen.fix.to}
        chosen = msgspec.structs.replace(
            chosen,
            response=chosen.response[:start] + chosen.fix.to + chosen.response[end:],
            verdict=chosen.fix.verdict,
        )
    sides = {"chosen": chosen, "rejected": rejected}
    row |= {name: side.response for name, side in sides.items()}
    row["answer_gt"] = asked.get("answer")
    one, other = (_maker(side, sampling) for side in sides.values())
    meta = {
        "id": identity,
        **_source(question),
        "method": method,
        **({"chosen_from": "reference"} if chosen.reference else {}),
        # Files sampled elsewhere may hold several models: where the sides differ, each is named.
        **{
            key: one[key] if one[key] == other[key] else {"chosen": one[key], "rejected": other[key]}
            for key in MAKER_KEYS
        },
        "seed": {name: side.seed for name, side in sides.items()},
        "finish_reason": {name: side.finish_reason for name, side in sides.items()},
        "verdicts": {name: brief(side.verdict) for name, side in sides.items()},
        **edited,
        "version": __version__,
        "judge": question.get("judge") or judge_version(),
    }
    small = {
        name + "_meta": {"answer": side.verdict.extracted, "rule": side.verdict.rule}
        for name, side in sides.items()
    }
    return row | {"meta": meta} | small


def question_row(question: dict[str, Any], samples: Sequence[Judged]) -> dict[str, Any]:
    """A question as it was put in: what hard.jsonl and easy.jsonl hold can be asked again."""
    row = dict(question["row"])
    row["question"] = row.pop("question_orig", row["question"])
    row.pop("prompt_version", None)
    here = Counter(one.verdict.outcome for one in samples)
    counts = {name: here[name] for name in ("correct", "wrong", "undecided")}
    return row | {"meta": {"id": question["id"], **_source(question), **counts}}


def _maker(one: Judged, sampling: Sampling | None) -> dict[str, Any]:
    if one.reference:
        return dict.fromkeys(MAKER_KEYS)
    made_by = {"sampling": msgspec.to_builtins(sampling) if sampling is not None else {}} | one.meta
    return {key: made_by.get(key) for key in MAKER_KEYS}


def _source(question: dict[str, Any]) -> dict[str, Any]:
    found = source_id(question["row"])
    return {} if found is None else {"source_id": found}
