"""Which continuations a question is still to be asked for: responses first, then from step to step of each of them.

    question -> n responses -> for each, for each step: continuations of what was said up to there -> counts

A step's score is the share of right ones among its continuations whose answer could be decided. The decisions to
question:

- A response that repeats an earlier one is left out.
- The last step of a response that ended by itself is not continued: what the response says is its one continuation.
- After a step from which no continuation came right (`early_stop`) the rest of the response is not asked about: its
  score is 0, of 0 continuations.
- What comes next hangs on what the run directory holds, and on nothing in memory: a killed run, a restarted engine and
  a run of a million questions go through the same few lines.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Final

import msgspec

from pipelines.drawn import kept
from pipelines.engines.base import Request
from pipelines.judging.verdict import CUT_OFF
from pipelines.pairing import Judged
from pipelines.questions import Asked
from pipelines.rundir import RunDir, unusable
from pipelines.steps import Step, steps_of

_SEPARATOR: Final = "/"  # in no id of a question


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """How many responses of a question, continuations of a step, and steps of a response at most."""

    responses: int
    continuations: int
    most_steps: int
    early_stop: bool = True


class Scored(msgspec.Struct, frozen=True):
    """A step with how its continuations ended."""

    text: str
    correct: int = 0
    wrong: int = 0
    undecided: int = 0

    @property
    def decided(self) -> int:
        """Continuations whose answer was judged right or wrong."""
        return self.correct + self.wrong

    @property
    def score(self) -> float | None:
        """The share of right ones; None where none could be decided. 0 where nothing was asked any more."""
        if self.decided:
            return self.correct / self.decided
        return None if self.undecided else 0.0


_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Counts(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    correct: _Count
    wrong: _Count
    undecided: _Count


class _Line(msgspec.Struct, gc=False):
    counts: _Counts


def question_of(identity: str) -> str:
    """The question of a request's id."""
    return identity.partition(_SEPARATOR)[0]


class Walk:
    """What is asked of the questions of a run, in which order."""

    def __init__(self, run: RunDir, asked: Sequence[Asked], plan: Plan) -> None:
        self._run, self._plan = run, plan
        self._asked = {one.id: one for one in asked}

    def first(self, one: Asked) -> Request:
        """The request for the responses of a question."""
        return msgspec.structs.replace(one.request, n=self._plan.responses)

    def follow(self, group: Sequence[Request]) -> list[Request]:
        """For each question of the group the next prefix to continue, where there is one."""
        return [following for request in group if (following := self.after(request)) is not None]

    def after(self, request: Request) -> Request | None:
        """What follows a request that was asked; None where it was the last one, or has no result."""
        if self._run.owed(request.key):
            return None
        return self._following(request, self._responses(question_of(request.id)))

    def _following(self, request: Request, responses: Sequence[Judged]) -> Request | None:
        question, _, place = request.id.partition(_SEPARATOR)
        if not place:
            return self._next(question, responses, 0, 0)
        number, step = map(int, place.split(_SEPARATOR))
        hopeless = Scored("", **self._counts(request.id)).score == 0.0
        stop = hopeless and self._plan.early_stop
        return self._next(question, responses, *((number + 1, 0) if stop else (number, step + 1)))

    def requests(self, one: Asked) -> Iterator[Request]:
        """Every request of a question as far as its way is known; the last one may be owed."""
        request: Request | None = self.first(one)
        responses: Sequence[Judged] | None = None
        while request is not None:
            yield request
            if self._run.owed(request.key):
                return
            responses = self._responses(one.id) if responses is None else responses
            request = self._following(request, responses)

    def results(self, one: Asked) -> Iterator[tuple[dict[str, Any], int, Judged, list[Scored] | None]]:
        """(first line, number, response, its steps) of each response of a question whose way was gone to its end.

        The steps are None where an earlier response says the same.
        """
        made = list(self.requests(one))
        if any(self._run.owed(request.key) for request in made):
            return
        counts = {request.id: self._counts(request.id) for request in made[1:]}
        line, responses = kept(self._run, one.id)
        for number, response in enumerate(responses):
            if _repeats(responses, number):
                yield line, number, response, None
                continue
            steps = steps_of(response.response, self._plan.most_steps)
            scored = [
                self._scored(
                    response, step, counts.get(_place(one.id, number, at)), last=at == len(steps) - 1
                )
                for at, step in enumerate(steps)
            ]
            yield line, number, response, self._stopped(scored)

    def _stopped(self, scored: list[Scored]) -> list[Scored]:
        """With early stop, nothing counts behind the first step of score 0."""
        zero = next((at for at, one in enumerate(scored) if one.score == 0.0), len(scored))
        if not self._plan.early_stop:
            return scored
        return scored[: zero + 1] + [Scored(one.text) for one in scored[zero + 1 :]]

    @staticmethod
    def _scored(response: Judged, step: Step, counts: Mapping[str, int] | None, *, last: bool) -> Scored:
        text = response.response[step.start : step.stop]
        if counts is None and last and _ended(response):
            counts = {response.verdict.outcome: 1}
        return Scored(text, **(counts or {}))

    def _next(self, question: str, responses: Sequence[Judged], number: int, step: int) -> Request | None:
        """The first place to continue at or behind step `step` of response `number`."""
        for at in range(number, len(responses)):
            response = responses[at]
            steps = steps_of(response.response, self._plan.most_steps)
            if not _repeats(responses, at) and step < len(steps) - _ended(response):
                return msgspec.structs.replace(
                    self._asked[question].request,
                    id=_place(question, at, step),
                    prefix=response.response[: steps[step].follows],
                    n=self._plan.continuations,
                )
            step = 0
        return None

    def _responses(self, question: str) -> list[Judged]:
        return kept(self._run, question)[1]

    def _counts(self, identity: str) -> dict[str, int]:
        """How the continuations of a step ended. Raises PrefdataError where its line is not as a run writes it."""
        try:
            line = msgspec.convert(next(self._run.rows([identity])), _Line)
        except msgspec.ValidationError as error:
            raise unusable(self._run, identity, error) from error
        counts = msgspec.structs.asdict(line.counts)
        if sum(counts.values()) > self._plan.continuations:
            raise unusable(self._run, identity, f"more than {self._plan.continuations} continuations")
        return counts


def counted(outcomes: Sequence[str]) -> dict[str, int]:
    """How continuations ended, as a line of the parts holds it."""
    counts = Counter(outcomes)
    return {name: counts[name] for name in ("correct", "wrong", "undecided")}


def _place(question: str, response: int, step: int) -> str:
    return f"{question}{_SEPARATOR}{response}{_SEPARATOR}{step}"


def _repeats(responses: Sequence[Judged], number: int) -> bool:
    """Whether an earlier response says the same."""
    return any(one.response == responses[number].response for one in responses[:number])


def _ended(response: Judged) -> bool:
    return response.finish_reason not in CUT_OFF
