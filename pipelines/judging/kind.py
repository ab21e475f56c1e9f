"""What kind of answer a reference is, read from the reference itself and the options: never from a name."""

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from pipelines.judging import choice, yesno
from pipelines.judging.normalise import plain, unwrap
from pipelines.judging.quantity import quantity

_LETTER: Final = re.compile(r"[(\[]?[A-N][)\]]?[.:)]?")
_MATHS: Final = re.compile(
    r"\\[a-zA-Z]+|[=<>≤≥^√∞∪∩±]|\d\s*[-+*/!]\s*[\da-z(]|[a-z]\s*[-+*/]\s*[\da-z]\b|\d!|^[(\[{]\s*-?\d.*,.*[)\]}]$"
)
_WORD: Final = re.compile(r"[^\W\d_]{4,}")


def kind_of(gold: str, options: Sequence[str] = ()) -> str:
    """`choice`, `yesno`, `number`, `math` or `text`."""
    return _kind(gold, tuple(options))


@lru_cache(maxsize=65536)
def _kind(gold: str, options: tuple[str, ...]) -> str:
    if options and choice.gold_letters(gold, options):
        return "choice"
    bare = unwrap(gold)
    if _LETTER.fullmatch(bare):
        return "choice"
    if len(plain(gold).split()) <= 2 and yesno.polarity(gold) is not None and plain(gold) != "right":
        return "yesno"
    if quantity(gold) is not None:
        return "number"
    if _MATHS.search(bare) and (len(_WORD.findall(re.sub(r"\\[a-zA-Z]+", "", bare))) <= 1):
        return "math"
    if re.fullmatch(r"-?\d+(?: -?\d+)+", bare):
        return "math"
    return "text"
