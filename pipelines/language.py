"""Continuations in another language than the good answer: a model falls back to the one it knows best.

Told by writing (Latin, Chinese, Japanese, Korean, Cyrillic, ...) and, among languages in Latin letters, by their most
common words. The decision to question: no language model, so that a verdict needs no download and can be explained;
short texts, code, formulas and names decide nothing, and a language whose words are not listed passes.
"""

import re
from collections import Counter

from pipelines.splitting import SPAN
from prefdata.stats.scripts import letters_by_script

# What is written the same in every language.
_WORDLESS = re.compile(rf"{SPAN}|\\[A-Za-z]+", re.VERBOSE | re.DOTALL)
_ASCII, _OF_CODE = re.compile(r"[!-~]+"), frozenset("/\\@_=<>{}")
# Characters of Chinese, Japanese and Korean say about as much as so many Latin letters.
_LETTERS_A_CHARACTER = 3
_DENSE = ("Chinese", "Japanese", "Korean")
# Less text than this (in Latin letters) may be a name.
_ENOUGH = 24
# Kana for each Han character, from which a text is Japanese.
_KANA = 0.1
# A script below this share does not count as present, one above the other is a good part of the text.
_ABSENT, _PRESENT = 0.05, 0.3
# So many common words tell a language, where other languages have at most so large a share of them.
_WORDS, _STRANGE = 4, 0.4

# A word may stand in several lists: it counts for each of them.
_COMMON = {
    "English": "the of and to is that it with for are this was by you from have they their which there has be at",
    "German": "der das und ist nicht ein eine einen zu mit von auf für sich dem den des auch wird im oder sie sind",
    "French": "les est une pour dans qui pas sur avec sont ce cette du au aux plus nous vous et ou il le sa son",
    "Spanish": "el los las y por una del se está como más pero lo su sus para es muy que un con en",
    "Italian": "di che è per gli della delle sono nel alla dei non anche il si più questo un con una le",
    "Portuguese": "o os uma não em do da dos das ao ele são seu mais também isso à você na no que um com",
    "Dutch": "het een van dat niet zijn voor ook wordt met deze aan op bij maar de en is in",
}
_LANGUAGES: dict[str, tuple[str, ...]] = {}
for _name, _words in _COMMON.items():
    for _word in _words.split():
        _LANGUAGES[_word] = (*_LANGUAGES.get(_word, ()), _name)
_WORD = re.compile(r"[^\W\d_]+")
# Names keep their Latin letters in a text of another script.
_LATIN_NAME = re.compile(r"[A-Z][A-Za-z]*")


def other_language(continuation: str, original: str, chosen: str) -> bool:
    """Whether `continuation` is in another language than the good answer.

    original: what the good answer says in this place; chosen: all of it. Either may set the language: the second half
    of a Chinese answer may be English code.
    """
    said = _scripts(continuation)
    if said.total() < _ENOUGH:
        return False
    models = [found for found in map(_scripts, (original, chosen)) if found.total() >= _ENOUGH]
    if not models:
        return False
    if all(_share(said, model.most_common(1)[0][0]) < _ABSENT for model in models):
        return True
    if any(
        _share(said, script) >= _PRESENT and all(_share(model, script) == 0 for model in models)
        for script in said
    ):
        return True
    return _latin_differs(continuation, chosen)


def _prose(text: str) -> str:
    """The text without formulas, code and addresses."""
    return _ASCII.sub(lambda run: run[0] if _OF_CODE.isdisjoint(run[0]) else " ", _WORDLESS.sub(" ", text))


def _scripts(text: str) -> Counter[str]:
    """Amounts of text by script, in Latin letters."""
    counts = letters_by_script(prose := _prose(text))
    if len(counts) > 1:
        counts = letters_by_script(_LATIN_NAME.sub(" ", prose))
    if counts["Japanese"] + counts["Chinese"]:
        japanese = counts["Japanese"] >= _KANA * counts["Chinese"]
        both = counts.pop("Japanese", 0) + counts.pop("Chinese", 0)
        counts["Japanese" if japanese else "Chinese"] = both
    for script in _DENSE:
        if script in counts:
            counts[script] *= _LETTERS_A_CHARACTER
    return +counts


def _share(counts: Counter[str], script: str) -> float:
    return counts[script] / counts.total()


def _latin_differs(continuation: str, chosen: str) -> bool:
    """Whether the common words are those of one language here and of another there."""
    said, model = _languages(continuation), _languages(chosen)
    if not said or not model:
        return False
    here, there = said.most_common(1)[0], model.most_common(1)[0]
    return (
        here[0] != there[0]
        and here[1] >= _WORDS
        and there[1] >= _WORDS
        and said[there[0]] <= _STRANGE * here[1]
        and model[here[0]] <= _STRANGE * there[1]
    )


def _languages(text: str) -> Counter[str]:
    """How many common words of each language a text holds."""
    words = _WORD.findall(_prose(text).casefold())
    return Counter(language for word in words for language in _LANGUAGES.get(word, ()))
