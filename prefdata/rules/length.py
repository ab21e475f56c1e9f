"""PD6xx: answers cut at a limit, and sets in which length or looks tell the chosen answers from the others."""

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from prefdata.findings import Hit

# "Always prefer the longer" must not be a good judge of the data. Below so many pairs a share means little.
_MIN_PAIRS = 100
_MAX_SHARE = 0.8
# Nor may "prefer the one with headings and lists". Good sets have such lines a little more often in chosen answers.
_MAX_STYLE_GAP = 0.4
_STYLED = re.compile(r"(?:\A|\n)(?:#[# ]|[-*][ *]|\||```|[0-9]{1,2}\. )").search


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


class Ratio(msgspec.Struct, frozen=True):
    """How many times as long as the other an answer may be, and by how many characters it must be longer to count."""

    most: float
    gap: int = 0

    def hits(self, chosen: str, rejected: str) -> Iterator[Hit]:
        """Whether a pair is beyond it."""
        short, long = sorted((len(chosen), len(rejected)))
        if long > self.most * short and long - short >= self.gap:
            yield Hit("PD606", "", f"{len(chosen)} characters chosen, {len(rejected)} rejected")


class Lengths(msgspec.Struct):
    """How often the chosen answer is longer, shorter, equally long (characters), and how often either has lines of
    Markdown; counts of ranges add up."""

    longer: int = 0
    shorter: int = 0
    equal: int = 0
    styled_chosen: int = 0
    styled_rejected: int = 0

    def count(self, chosen: str, rejected: str) -> None:
        """Take one pair in."""
        longer = len(chosen) - len(rejected)
        if longer > 0:
            self.longer += 1
        elif longer < 0:
            self.shorter += 1
        else:
            self.equal += 1
        self.styled_chosen += _STYLED(chosen) is not None
        self.styled_rejected += _STYLED(rejected) is not None

    def add(self, other: "Lengths") -> None:
        """Merge another range's counts."""
        self.longer += other.longer
        self.shorter += other.shorter
        self.equal += other.equal
        self.styled_chosen += other.styled_chosen
        self.styled_rejected += other.styled_rejected

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
        if abs(self.styled_chosen - self.styled_rejected) / pairs > _MAX_STYLE_GAP:
            yield Hit(
                "PD605",
                "",
                f"{self.styled_chosen / pairs:.0%} of the chosen and {self.styled_rejected / pairs:.0%} of the rejected"
                f" answers of {pairs} pairs",
            )
