"""Numbers read off a chart: within 5 % of the reference; years exact, zero within an explicit absolute tolerance.

Used only where a row or the caller says `relaxed`. Anything that is not a number is compared as text.
"""

from typing import Final

from pipelines.judging import number, text
from pipelines.judging.quantity import quantity
from pipelines.judging.verdict import Decision, Tolerance

_CHART: Final = Tolerance(relative=0.05, absolute=0.0)


def judge(answer: str, gold: str) -> Decision:
    """Compare with the chart tolerance."""
    if quantity(gold) is None:
        return text.judge(answer, gold)
    return number.judge(answer, gold, _CHART)
