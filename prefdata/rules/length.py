"""PD6xx: answers cut at a limit, and a set whose longer answers are nearly always the chosen ones."""

from collections.abc import Iterator
from typing import Any

import msgspec

from prefdata.findings import Hit

# "Always prefer the longer" must not be a good judge of the data. Below so many pairs a share means little.
_MIN_PAIRS = 100
_MAX_SHARE = 0.8


def check(row: dict[str, Any]) -> Iterator[Hit]:
    """Whether generation says that it stopped at its limit."""
    meta = row.get("meta")
    reason = meta.get("finish_reason") if isinstance(meta, dict) else None
    if isinstance(reason, dict):
        for side, why in reason.items():
            if why == "length":
                yield Hit("PD602", "meta.finish_reason", str(side))
    elif reason == "length":
        yield Hit("PD602", "meta.finish_reason", "generated")


class Lengths(msgspec.Struct):
    """How often the chosen answer is longer, shorter, equally long (characters); counts of ranges add up."""

    longer: int = 0
    shorter: int = 0
    equal: int = 0

    def add(self, other: "Lengths") -> None:
        """Merge another range's counts."""
        self.longer += other.longer
        self.shorter += other.shorter
        self.equal += other.equal

    @property
    def pairs(self) -> int:
        """How many were compared."""
        return self.longer + self.shorter + self.equal

    @property
    def share(self) -> float | None:
        """Share of pairs whose chosen answer is the longer one; None where there are too few to tell."""
        return self.longer / self.pairs if self.pairs >= _MIN_PAIRS else None

    def hits(self) -> Iterator[Hit]:
        """The bias of the whole file."""
        pairs = self.pairs
        if pairs < _MIN_PAIRS:
            return
        for side, count in (("chosen", self.longer), ("rejected", self.shorter)):
            if count / pairs > _MAX_SHARE:
                yield Hit("PD601", "", f"the {side} one in {count / pairs:.0%} of {pairs} pairs")
