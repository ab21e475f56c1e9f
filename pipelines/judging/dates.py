"""Dates in text: `September 23, 1889`, `23 September 1889` and `23rd of Sept. 1889` are one day.

Only for saying that two are the same: a date that differs may be another event's, so it never makes an answer wrong.
"""

import re
from functools import lru_cache
from typing import Final

_NAMES: Final = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_MONTH: Final = (
    r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_DAY: Final = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR: Final = r"(?P<year>1\d{3}|20\d{2})(?!\d)"
_DIGIT: Final = re.compile(r"\d")  # every form has one
_FORMS: Final = (
    re.compile(rf"(?<!\w){_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?", re.IGNORECASE),
    re.compile(rf"(?<!\w){_MONTH}\s+{_DAY}(?!\d)(?:\s*,?\s*{_YEAR})?", re.IGNORECASE),
    re.compile(rf"(?<!\w){_MONTH},?\s+(?:of\s+)?{_YEAR}", re.IGNORECASE),
)

Date = tuple[int | None, int, int | None]


@lru_cache(maxsize=4096)
def dates_in(text: str) -> tuple[Date, ...]:
    """Every (day, month, year) that a text names; day or year is None where it is not said."""
    found = []
    for form in _FORMS:
        for match in form.finditer(text[:2000]):
            said = match.groupdict()
            month = _NAMES.index(said["month"].lower()[:3]) + 1
            day, year = said.get("day"), said.get("year")
            found.append((int(day) if day else None, month, int(year) if year else None))
    return tuple(found)


def names(text: str, wanted: Date) -> bool:
    """Whether a text names this date, every part that it has."""
    return any(
        all(part is None or part == other for part, other in zip(wanted, date, strict=True))
        for date in dates_in(text)
    )


def date_of(gold: str) -> Date | None:
    """The date that a reference is and nothing else."""
    if (
        not _DIGIT.search(gold)
        or len(gold.split()) > 4
        or not any(form.fullmatch(gold.strip().rstrip(".")) for form in _FORMS)
    ):
        return None
    return max(dates_in(gold), key=lambda date: sum(part is not None for part in date), default=None)
