"""Rankings as pairs, by a policy that the user names: which pairs to take is a choice about training, not about format.

A candidate's worth is its score, or where the source gives only ranks, the rank turned round; candidates that have
neither cannot be compared. Ties and equal texts never make a pair. Where a pair came from stays in `meta.pairing`.
"""

from itertools import combinations, pairwise
from typing import Any, Literal

import msgspec

from prefdata.records import Candidate, PreferencePair, RankedCandidates

Policy = Literal["best-worst", "all", "adjacent"]


def pairs_of(record: RankedCandidates, policy: Policy, min_gap: float = 0.0) -> list[PreferencePair]:
    """The pairs of a ranking, best first; `min_gap` in the source's own units (scores, or ranks)."""
    scored = sum(1 for candidate in record.candidates if candidate.score is not None) >= 2
    rated = [
        (worth, index)
        for index, candidate in enumerate(record.candidates)
        if (worth := _worth(candidate, scored)) is not None
    ]
    # Best first; equal ones stay in the source's order.
    rated.sort(key=lambda item: (-item[0], item[1]))
    if policy == "best-worst":
        taken = [(rated[0], rated[-1])] if len(rated) > 1 else []
    elif policy == "adjacent":
        taken = list(pairwise(rated))
    else:
        taken = list(combinations(rated, 2))
    kept = [
        (better, worse)
        for (high, better), (low, worse) in taken
        if high > low
        and high - low >= min_gap
        and record.candidates[better].messages != record.candidates[worse].messages
    ]
    return [_pair(record, policy, better, worse, len(kept) > 1) for better, worse in kept]


def _worth(candidate: Candidate, scored: bool) -> float | None:
    if scored:
        return candidate.score
    return -candidate.rank if candidate.rank is not None else None


def _pair(record: RankedCandidates, policy: Policy, better: int, worse: int, several: bool) -> PreferencePair:
    chosen, rejected = record.candidates[better], record.candidates[worse]
    margin = (
        chosen.score - rejected.score if chosen.score is not None and rejected.score is not None else None
    )
    origin = {"policy": policy, "chosen": _origin(chosen, better), "rejected": _origin(rejected, worse)}
    suffix = f"#{better}-{worse}" if several else ""
    return PreferencePair(
        prompt=record.prompt,
        chosen=chosen.messages,
        rejected=rejected.messages,
        media=record.media,
        margin=margin,
        id=None if record.id is None else record.id + suffix,
        meta={**record.meta, "pairing": origin},
    )


def _origin(candidate: Candidate, index: int) -> dict[str, Any]:
    plain = msgspec.to_builtins({"index": index, "score": candidate.score, "rank": candidate.rank})
    return {key: value for key, value in {**plain, **candidate.meta}.items() if value is not None}
