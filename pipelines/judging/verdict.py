"""What judging says about one response: one of three outcomes, with the rule and the text it rests on.

The decision to question: `undecided` is an outcome of its own and never turns into `wrong`. A false "wrong" makes a
right answer the rejected side of a pair, which is the most harmful mistake this package can make.
"""

from typing import Final, Literal

import msgspec

VERSION: Final = "rules-5"
"""Name of this set of rules; written beside every verdict, and raised when a rule changes its mind."""

CUT_OFF: Final = frozenset(("length", "max_tokens", "error", "abort", "cancelled", "content_filter"))
"""Finish reasons, as engines and servers write them, of responses that did not end by themselves."""

Outcome = Literal["correct", "wrong", "undecided"]
Reason = Literal["", "format", "truncated", "gold", "conflict", "nomatch", "near", "guard", "timeout"]
"""Why a response is undecided.

format: no answer where one was asked for. truncated: cut off by the length limit before the answer was complete.
gold: no usable reference. conflict: the response says two things, or units cannot be reconciled. nomatch: neither
equal nor clearly different. near: numbers that differ by rounding only. guard: too large to be worth computing.
timeout: a worker process needed more time or memory than it may have.
"""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The judgement of one response.

    `extracted` is the text taken for the answer and `span` its place in the response; `normalised` is the form that
    was compared, `gold` the reference form it was compared with, `rule` what decided.
    """

    outcome: Outcome
    rule: str
    extracted: str | None = None
    normalised: str | None = None
    gold: str | None = None
    reason: Reason = ""
    span: tuple[int, int] | None = None
    answer_type: str = ""


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What one judge says about one extracted answer against one reference form."""

    outcome: Outcome
    rule: str
    normalised: str = ""
    reason: Reason = ""


class Tolerance(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How far a number may be from the reference and still be the same answer. The default is not at all.

    `absolute` is the only one that can apply to a reference of zero; years (whole numbers from 1000 to 2100) are
    always exact.
    """

    relative: float = 0.0
    absolute: float = 0.0


EXACT: Final = Tolerance()
