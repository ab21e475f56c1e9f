r"""Where is the answer? The last anchored one, with the place it came from.

Anchors, strongest first: `Final answer:` / `Answer:` / `答案：`, `\boxed{}` and `<answer>` (the one that starts
last); then `the answer is ...`, `#### ...` and a line `A: ...`; then, after a closed `</think>`, a single line.
The text is never scanned for anything that looks like an answer: a number in the middle of the reasoning is not
one. Only `bare=True`, meant for predictions that were never asked for a marker, adds bold text and the text itself.
"""

import re
from collections.abc import Iterator
from typing import Final

import msgspec


class Extraction(msgspec.Struct, frozen=True, gc=False):
    """The answer's text, where it stands in the response, how it was found, and whether something closes it."""

    text: str
    start: int
    end: int
    how: str
    closed: bool = True


# Both begin with what is rare in a text, and only where they end matters: words before `answer` need no match.
_MARKER: Final = re.compile(
    r"(?:[Aa]nswer|ANSWER)(?:[ ]+is)?[ ]*(?:\*\*|__)?[ ]*[:：]|答案[是为為]?[ ]*(?:\*\*|__)?[ ]*[:：]"
)
_SENTENCE: Final = re.compile(
    r"(?:[Aa]nswer|ANSWER)[ ]+(?:is|would be|should be)\b(?![ ]+(?:not|that|the same)\b)[ ]*[:：]?|答案[是为為]"
    r"|^[ ]*####|^[ ]*A:(?=[ ])",
    re.MULTILINE,
)
_LEAD: Final = re.compile(r"(?:the[ ]+)?(?:(?:final|correct)[ ]+)?answer[ ]+is[ ]*[:：]?[ ]*", re.IGNORECASE)
_TAIL: Final = re.compile(
    r"[ .]*(?:\bI hope (?:it|this) (?:is correct|helps)\b.*|<\|[^|]{1,30}\|>.*)$", re.IGNORECASE | re.DOTALL
)
_BOXES: Final = re.compile(r"\\(?:boxed|fbox)\s*\{")
_OPEN_BOX: Final = re.compile(r"\$*\\(?:boxed|fbox)\s*\{")
_JOINT: Final = re.compile(
    r"[\s$,;]*(?:\\quad\s*)?(?:\\text\s*\{[^{}]{0,30}\b(?:and|or)\s*\}|and|or|,|\\\)\s*(?:and|,)\s*\\\()[\s$,;]*(?:\\quad\s*)?"
)
# Not the powers of `10**2**1`.
_BOLD: Final = re.compile(
    r"(?<![0-9A-Za-z)\]}*])\*\*([^*\n]{1,200})\*\*(?![0-9A-Za-z(*])|\\textbf\{([^{}\n]{1,100})\}"
)
_PLACEHOLDER: Final = "$FINAL_ANSWER"  # a model that repeats its instructions has not answered
_BOXES_TRIED: Final = 16
_THINK_LINE: Final = 300
_WINDOW: Final = 20_000


def extract(response: str, bare: bool = False) -> Extraction | None:
    """The last anchored answer of a response, or None. `bare` also takes bold text, or the whole text."""
    begin = 0
    thought = response.rfind("</think>")
    if thought >= 0:
        begin = thought + len("</think>")
    elif "<think>" in response and response.lstrip().startswith("<think>"):
        return None
    begin = max(begin, len(response) - _WINDOW)  # the last answer is near the end; a bound on hostile lengths
    named = (
        "nswer" in response or "ANSWER" in response or "答案" in response
    )  # as in each match of both patterns
    strong = (
        _box(response, begin) if "box" in response else None,
        _tag(response, begin) if named else None,
        _after(_MARKER, "marker", response, begin) if named else None,
    )
    if any(strong):
        return max(filter(None, strong), key=lambda found: found.start)
    said = named or "####" in response or "A:" in response
    sentence = _after(_SENTENCE, "sentence", response, begin) if said else None
    if sentence is not None:
        return sentence
    rest = response[begin:].strip()
    if thought >= 0 and rest and "\n" not in rest and len(rest) <= _THINK_LINE:
        start = response.index(rest, begin)
        return Extraction(rest, start, start + len(rest), "think", closed=False)
    if not bare or not rest:
        return None
    bold = _bold(response, begin)
    if bold is not None:
        return bold
    start = response.index(rest, begin)
    return Extraction(rest, start, start + len(rest), "whole", closed=False)


def _box(response: str, begin: int) -> Extraction | None:
    r"""The last box whose braces balance; boxes joined by `and` or a comma (`\\boxed{1}, \\boxed{2}`) are one list."""
    openings = list(_BOXES.finditer(response, begin))
    found = _one_box(response, openings, len(response))
    text, start = (found.text, found.start) if found else ("", 0)
    while found:
        opening = response.rfind("\\", 0, start)
        before = _one_box(response, openings, opening)
        if before is None or not _JOINT.fullmatch(response[before.end + 1 : opening]):
            return Extraction(text, start, found.end, "box")
        text, start = f"{before.text}, {text}", before.start
    return None


def _one_box(response: str, openings: list[re.Match[str]], end: int) -> Extraction | None:
    """The last box before `end`; openings after it, which nothing asks for again, are taken off the list."""
    while openings and openings[-1].end() > end:
        openings.pop()
    for opening in reversed(openings[-_BOXES_TRIED:]):
        depth, at = 1, opening.end()
        while at < end and depth:
            if response[at] == "\\":
                at += 1
            elif response[at] == "{":
                depth += 1
            elif response[at] == "}":
                depth -= 1
            at += 1
        inside = response[opening.end() : at - 1]
        if depth == 0 and inside.strip() and _PLACEHOLDER not in inside:
            return Extraction(inside.strip(), opening.end(), at - 1, "box")
    return None


def _tag(response: str, begin: int) -> Extraction | None:
    """The last `<answer>...</answer>`."""
    closing = response.rfind("</answer>", begin)
    opening = response.rfind("<answer>", begin, closing) if closing >= 0 else -1
    if opening < 0:
        return None
    start = opening + len("<answer>")
    inside = response[start:closing].strip()
    if not inside:
        return None
    nested = _box(inside, 0)
    return Extraction(nested.text if nested else inside, start, closing, "tag")


def _from_the_end(pattern: re.Pattern[str], response: str, begin: int) -> Iterator[re.Match[str]]:
    """Matches of `_MARKER` or `_SENTENCE`, the last first; from where the last one may be, then those before it."""
    last = response.rfind("nswer", begin) - 1
    last = max(last, response.rfind("ANSWER", begin), response.rfind("答案", begin), begin)
    if pattern is _SENTENCE:
        line = max(response.rfind("####", begin), response.rfind("A:", begin))
        last = max(last, response.rfind("\n", begin, line) if line >= 0 else begin)
    yield from reversed(list(pattern.finditer(response, last)))
    before = (match for match in pattern.finditer(response, begin) if match.start() < last)
    yield from reversed(list(before))


def _after(pattern: re.Pattern[str], how: str, response: str, begin: int) -> Extraction | None:
    """What follows the last marker that is followed by something: the rest of its line, or the next full line."""
    for match in _from_the_end(pattern, response, begin):
        start = match.end()
        for line in response[start:].split("\n", 3)[:3]:
            text = _TAIL.sub("", _LEAD.sub("", line.strip().strip("*_ ").strip(), count=1))
            if text.strip("*_$ :：.") and _PLACEHOLDER not in text and not _OPEN_BOX.match(text):
                text = text.strip().strip("*").strip()
                at = response.find(text, start)
                end = at + len(text)
                return Extraction(
                    text, at, end, how, closed=bool(response[end:].strip(" *_.$")) or "\n" in response[end:]
                )
            start += len(line) + 1
    return None


def _bold(response: str, begin: int) -> Extraction | None:
    """The last short bold text that is not a heading."""
    if "**" not in response and "\\textbf" not in response:
        return None
    for match in reversed(list(_BOLD.finditer(response, begin))):
        group = 1 if match[1] is not None else 2
        text = match[group].strip()
        after = response[match.end() : match.end() + 1]
        if (
            text
            and not text.endswith((":", "："))
            and after not in (":", "：")
            and not text.lower().startswith("step")
        ):
            return Extraction(text, match.start(group), match.end(group), "bold")
    return None
