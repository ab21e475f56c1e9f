"""Which continuations make no pair, and whether two answers are the same.

A continuation that equals the good answer teaches nothing; one that talks about the missing image (`commentary.py`)
teaches the model to talk about images, one in another language (`language.py`) to tell languages apart; one cut at
the length limit differs from the good answer by its missing end above all, and a loop by how long it is.
The reasons are words that stand in dropped.jsonl, the summary and the card.
"""

import re
import unicodedata
from difflib import SequenceMatcher

import msgspec

from pipelines.commentary import comments_on_itself
from pipelines.engines.base import Sample
from pipelines.language import other_language
from prefdata.formats.mmpr import squeezed
from prefdata.rules.repetition import loop

AT_LIMIT = "length limit hit"

# Equal but for so few words, and with the same numbers, counts as the same answer.
_SAME_WORDS = 0.95

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """Switches that turn filters off."""

    truncated: bool = False
    same: bool = False
    commentary: bool = False
    language: bool = False
    repetition: bool = False


def reason_against(sample: Sample, prefix: str, chosen: str, keep: Keep) -> str | None:
    """Why a continuation of `prefix` makes no pair with `chosen`, or None.

    What the good answer does itself (it loops, it says "as an AI") is no reason against its continuation. A loop is
    called one even where it ran into the length limit: a higher limit would not help.
    """
    text, original = sample.text, chosen[len(prefix) :]
    if not keep.repetition and loop(text) and not loop(chosen):
        return "degenerate repetition"
    if sample.finish_reason == "length" and not keep.truncated:
        return AT_LIMIT
    if not any(map(_says, text)):
        return "empty continuation"
    if "\ufffd" in text:
        return "broken character"
    if not keep.same and (same := sameness(text, original)):
        return f"{same} continuation"
    if not keep.commentary and comments_on_itself(text, prefix) and not comments_on_itself(chosen):
        return "self-commentary"
    if not keep.language and other_language(text, original, chosen):
        return "wrong language"
    return None


def _says(character: str) -> bool:
    """Whether a character is more than a blank or a mark: a full stop alone ends an answer and says nothing."""
    return character.isalnum() or unicodedata.category(character) in ("So", "Sm", "Sc")


def sameness(continuation: str, original: str) -> str | None:
    """`identical` or `near-identical` to what the good answer says in this place, or None."""
    if continuation.strip() == original.strip():
        return "identical"
    if squeezed(continuation) == squeezed(original):
        return "near-identical"
    if numbers_of(continuation) != numbers_of(original):
        return None
    return "near-identical" if alike(words_of(continuation), words_of(original)) else None


def words_of(text: str) -> list[str]:
    """The words of a text, as `alike` compares them."""
    return _WORD.findall(text)


def numbers_of(text: str) -> list[str]:
    """The numbers in a text: near-identical texts have the same ones."""
    return _NUMBER.findall(text)


def alike(one: list[str], other: list[str]) -> bool:
    """Whether two texts are the same but for a few words."""
    if 2 * min(len(one), len(other)) < _SAME_WORDS * (len(one) + len(other)):
        return False
    words = SequenceMatcher(None, one, other, autojunk=False)
    # The bound is cheap and settles nearly every pair.
    return words.quick_ratio() >= _SAME_WORDS and words.ratio() >= _SAME_WORDS
