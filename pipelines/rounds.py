"""How many samples a question gets: rounds of eight until its pairs can be made, or until it is given up.

Most questions show a few right and a few wrong answers long before 32 samples, and some never do. After each round the
samples so far are counted as pairing would use them. The decisions to question:

- *Enough* is a square: as many different right and as many different wrong responses as the root of the pairs asked
  for, rounded up (4 and 4 for 15), so that no response carries most of a question's pairs.
- *Given up* is a question that shows no right or no wrong answer at all in the first half of its samples. Under a
  uniform prior, the second half would then show a single one with probability 0.5, mean 0.9: not enough to fill its
  pairs, while the same samples fill those of a fresh question. So is one whose last round said nothing new.

Rounds of one question hang on its own samples alone. Sample i has the seed it would have in one request for all of
them, so with an engine that draws by seed the samples are the first ones of a run with a fixed number.
"""

import math
from collections.abc import Sequence
from typing import Final

import msgspec

from pipelines.drawn import lines_of
from pipelines.engines.base import Request
from pipelines.pairing import Judged, distinct, usable
from pipelines.questions import Asked
from pipelines.rundir import RunDir, unusable
from prefdata.progress import progress

SIZE: Final = 8


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """At most `most` samples in rounds of `size`, for `pairs` pairs. One round of all of them is a fixed number."""

    most: int
    size: int = SIZE
    pairs: int = 1

    @property
    def fixed(self) -> bool:
        """Whether one round is all there is."""
        return self.size >= self.most

    def more(self, samples: Sequence[Judged]) -> int:
        """How many samples to draw next; 0 where it ends."""
        left = self.most - len(samples)
        if left <= 0 or (samples and (self.fixed or self._enough(samples) or self._hopeless(samples))):
            return 0
        return min(self.size, left)

    def _enough(self, samples: Sequence[Judged]) -> bool:
        needed = math.isqrt(self.pairs - 1) + 1
        found = usable(samples)
        return min(len(found.right), len(found.wrong)) >= needed

    def _hopeless(self, samples: Sequence[Judged]) -> bool:
        outcomes = {sample.verdict.outcome for sample in samples}
        if 2 * len(samples) >= self.most and not {"correct", "wrong"} <= outcomes:
            return True
        before = samples[: -self.size]
        return bool(before) and len(distinct(samples)[0]) == len(distinct(before)[0])


class Rounds:
    """Where the questions of a run stand; what a killed run had drawn is taken up."""

    def __init__(self, run: RunDir, asked: Sequence[Asked], plan: Plan) -> None:
        self._run, self._asked, self._plan = run, asked, plan
        self._next: dict[str, Request] = {}  # by the key of the round before
        self._open: dict[str, list[Judged]] = {}  # samples of questions that are not finished
        if plan.fixed:
            return  # what is there needs nothing more, whatever it says
        with progress("reading samples", total=len(asked), unit="questions") as shown:
            for one in asked:
                request: Request | None = self.first(one)
                for line, samples in lines_of(run, one.id) if one.problem is None else ():
                    if request is None:
                        raise unusable(
                            run, line["id"], "by the rounds before it, its question has enough samples"
                        )
                    if not samples:
                        raise unusable(run, line["id"], "it holds no samples")
                    request = self._took(request, samples)
                shown.advance()

    def first(self, one: Asked) -> Request:
        """The first round of a question."""
        return msgspec.structs.replace(one.request, n=self._plan.more([]))

    def take(self, request: Request, samples: Sequence[Judged]) -> bool:
        """Note a round's samples; whether the question is finished."""
        return self._took(request, samples) is None

    def _took(self, request: Request, samples: Sequence[Judged]) -> Request | None:
        together = [*self._open.pop(request.id, ()), *samples]
        n = self._plan.more(together)
        if not n:
            return None
        self._open[request.id] = together
        following = msgspec.structs.replace(request, first=len(together), n=n)
        self._next[request.key] = following
        return following

    def follow(self, group: Sequence[Request]) -> list[Request]:
        """The next round of those in `group` that have one."""
        return [self._next[request.key] for request in group if request.key in self._next]

    def keys(self) -> list[str]:
        """Under which the rounds of all questions are kept, in their order: done, failed or owed."""
        keys = []
        for one in self._asked:
            request: Request | None = self.first(one)
            while request is not None:
                keys.append(request.key)
                request = self._next.get(request.key)
        return keys

    @property
    def finished(self) -> int:
        """Questions that need nothing more."""
        return sum(
            one.problem is not None or not (self._run.owed(one.id) or one.id in self._open)
            for one in self._asked
        )
