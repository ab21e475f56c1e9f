"""math-verify as it comes, with its own extraction, for `benchmarks/judging.py`: the inside of a worker process."""

import logging

import math_verify
from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig

from pipelines.judging.workers import Found

logging.disable(logging.CRITICAL)
_PREDICTION = [StringExtractionConfig(), LatexExtractionConfig(), ExprExtractionConfig()]


def look(answer: str, gold: str) -> Found:
    """Whether one of the forms (divided by a null) is equal."""
    mine = math_verify.parse(answer, _PREDICTION, parsing_timeout=None)
    forms = [math_verify.parse(form, parsing_timeout=None) for form in gold.split("\0")]
    same = any(math_verify.verify(form, mine, timeout_seconds=None) for form in forms)
    return Found("equal" if same else "different")
