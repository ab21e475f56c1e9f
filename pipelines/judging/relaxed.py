"""Numbers read off a chart: within 5 % of the reference; years exact.

A reference of zero has no such share: it is decided by the absolute tolerance that was asked for, exactly without one.

Used only where a row or the caller says `relaxed`. Anything that is not a number is compared as text.
"""

from typing import Final

from pipelines.judging import number, text
from pipelines.judging.quantity import quantity
from pipelines.judging.verdict import EXACT, Decision, Tolerance

_CHART: Final = 0.05


def judge(answer: str, gold: str, tolerance: Tolerance = EXACT) -> Decision:
    """Compare with the chart tolerance, or with the relative one that was asked for."""
    if quantity(gold) is None:
        return text.judge(answer, gold)
    return number.judge(
        answer, gold, Tolerance(relative=tolerance.relative or _CHART, absolute=tolerance.absolute)
    )
