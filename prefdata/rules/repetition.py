"""PD211 and PD212: answers in which the same unit comes again and again, back to back, as a generation that loops.

Measured in bytes of UTF-8, so that a loop of Chinese or Thai, which has no words between spaces, counts like one of
English. What repeats by nature is let through: rules of tables and dotted lines hold no letter, cells and matrices hold
marks of markup, and a URL or base64 is more than its run of one letter. The decision to question: only exact and
neighbouring repeats; a text that says the same in other words is not looked for.

`_rowscan.c` has the same search, to accept rows. It sees texts as JSON writes them, hence the limit of `_LONGEST`.
"""

from collections.abc import Iterator
from itertools import chain

from prefdata.findings import Hit, detail
from prefdata.formats.base import View

# A unit must come so often, a sentence less often, and the whole be so long. Markup repeats in honest tables.
_TIMES, _SENTENCE_TIMES, _SENTENCE = 8, 5, 40
_SPAN, _MARKUP_SPAN = 200, 4000
_LONGEST = 512  # bytes of a unit as JSON writes it
_ESCAPED = b'"\\\n\r\t\b\f'
_MARKUP = frozenset('|&<>{}[]\\"`')
# Marks that no rule, leader or bar is drawn with; a run of "!" is what token 0 reads as in many vocabularies.
_LOUD = frozenset("!?,;'$@%\ufffd")
_EMOJI = "\U0001f000"

# The search compares the word at every so many bytes with what follows it. All but the last unit of a run reads the
# same a unit later, a stretch of 4/5 of its span. So a long unit makes a long stretch, and only every second place must
# be compared with what is more than _NEAR bytes away, every fourth with what is more than twice that, and so on.
_STEP, _WORD, _NEAR = 144, 16, 80
_STRETCH = _SPAN * (_SENTENCE_TIMES - 1) // _SENTENCE_TIMES


def check(view: View) -> Iterator[Hit]:
    """Every answer that loops, once."""
    said = (turn for turn in view.prompt if turn.role == "assistant")
    for turn in chain(said, view.chosen, view.rejected):
        if (found := loop(turn.text)) is not None:
            yield Hit(found[0], turn.field, found[1])


def may_repeat(text: str) -> bool:
    """Whether a text must be looked at closely; False is certain."""
    return next(_runs(text.encode("utf-8", "replace")), None) is not None


def loop(answer: str) -> tuple[str, str] | None:
    """(code, detail) of the first run in an answer that should not be there."""
    data = answer.encode("utf-8", "replace")
    for start, period, stop in _runs(data):
        while start < stop and data[start] & 0xC0 == 0x80:
            start += 1
        span = stop - start
        times = span // period
        if span < _SPAN or times < (_TIMES if period < _SENTENCE else _SENTENCE_TIMES):
            continue
        unit = data[start : start + period]
        if period + sum(map(unit.count, _ESCAPED)) > _LONGEST:
            continue
        text = unit.decode("utf-8", "replace")
        what = f"{detail(text, 40)} {times} times"
        if any(map(str.isspace, text)) or any(letter.isalpha() and not letter.isascii() for letter in text):
            if any(map(str.isalpha, text)) and span >= (_SPAN if _MARKUP.isdisjoint(text) else _MARKUP_SPAN):
                return "PD211", what
        elif _senseless(text, span) and _dominates(data, start, stop):
            return "PD212", what
    return None


def _senseless(unit: str, span: int) -> bool:
    """Whether a unit without spaces says nothing when repeated: letters, digits alone, or loud marks alone."""
    if any(map(str.isalpha, unit)):
        return _MARKUP.isdisjoint(unit) or span >= _MARKUP_SPAN
    return unit.isdigit() or all(mark in _LOUD or mark >= _EMOJI for mark in unit)


def _dominates(data: bytes, start: int, stop: int) -> bool:
    """Whether a run is at least half of what stands between the white space before and behind it."""
    span = stop - start
    # More than its own length on either side decides it; farther is not looked, or long texts take quadratic time.
    before, after = data[max(0, start - span - 1) : start], data[stop : stop + span + 1]
    left = before.split()[-1] if before and not before[-1:].isspace() else b""
    right = after.split(maxsplit=1)[0] if after and not after[:1].isspace() else b""
    return len(left) + len(right) <= span


def _runs(data: bytes) -> Iterator[tuple[int, int, int]]:
    """(start, period, stop) of stretches that may repeat often enough; none where there surely is none."""
    most = min(_LONGEST, len(data) // _SENTENCE_TIMES)
    done = 0
    for number, at in enumerate(range(0, len(data) - _WORD, _STEP)):
        if at < done:
            continue
        lags = min(most, _NEAR * (number & -number)) if number else most
        word, limit = data[at : at + _WORD], at + lags + _WORD
        echo = data.find(word, at + 1, limit)
        while echo >= 0:
            period = echo - at
            start, stop = _stretch(data, at, period) if _lasts(data, at, echo) else (0, 0)
            if stop - start >= max(_STRETCH, (_SENTENCE_TIMES - 1) * period):
                yield start, period, stop + period
                # What begins in the last unit of this run is seen from the places in it.
                done = stop
                break
            echo = data.find(word, echo + 1, limit)


def _lasts(data: bytes, at: int, echo: int) -> bool:
    """A quick look: the longer half of a stretch lies before the place or behind it."""
    half, back = _STRETCH // 2, max(0, at - _STRETCH // 2)
    return data[at : at + half] == data[echo : echo + half] or data[back:at] == data[back + echo - at : echo]


def _stretch(data: bytes, at: int, period: int) -> tuple[int, int]:
    """The bytes around `at` that read the same a period later."""
    start, stop, last = at, at + _WORD, len(data) - period
    while stop + 256 <= last and data[stop : stop + 256] == data[stop + period : stop + period + 256]:
        stop += 256
    while stop < last and data[stop] == data[stop + period]:
        stop += 1
    while start > 0 and data[start - 1] == data[start - 1 + period]:
        start -= 1
    return start, stop
