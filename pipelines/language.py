"""Continuations in another language than the good answer: a model falls back to the one it knows best.

Told by writing (Latin, Chinese, Japanese, Korean, Cyrillic, ...) and, among languages in Latin letters, by their most
common words. The decision to question: no language model, so that a verdict needs no download and can be explained;
short texts, code, formulas, names and what is quoted decide nothing, and a language whose words are not listed passes.
Wherever it is not plain, the continuation stays: one odd pair does less harm than good rows that are missing.
"""

import re
from collections import Counter
from collections.abc import Sequence

from pipelines.splitting import SPAN
from prefdata.stats.scripts import letters_by_script

# What is written the same in every language.
_WORDLESS = re.compile(rf"{SPAN}|\\[A-Za-z]+", re.VERBOSE | re.DOTALL)
# A continuation may read out a sign; a quotation that is never closed reaches the end of its line.
_QUOTED = re.compile(
    r"“[^”\n]*(?:”|$)|「[^」\n]*(?:」|$)|『[^』\n]*(?:』|$)|«[^»\n]*(?:»|$)|《[^》\n]*》|\"[^\"\n]+\"",
    re.MULTILINE,
)
_ASCII, _OF_CODE = re.compile(r"[!-~]+"), frozenset("/\\@_=<>{}")
# Characters of Chinese, Japanese and Korean say about as much as so many Latin letters.
_LETTERS_A_CHARACTER = 3
_DENSE = ("Chinese", "Japanese", "Han", "Korean")
# Less text than this (in Latin letters) may be a name.
_ENOUGH = 24
# Kana for each Han character, from which a text is Japanese.
_KANA = 0.1
# Characters that Chinese writes and Japanese does not; two of them tell a text without kana from a Japanese address.
_ONLY_CHINESE = frozenset(
    "这這们們吗嗎呢很还没沒说对對让讓从为给啊吧她你您它个哪图红边张两车门马鸟东见长书电话语时间问题开关过进运绿"
)
_TWO = 2
# A script below this share does not count as present, one above the other is a good part of the text.
_ABSENT, _PRESENT = 0.05, 0.3
# From this share on the text is in that script, whatever is read out or named in others.
_MOST = 0.6
# So many different common words tell a language, where other languages have at most so large a share of them.
_WORDS, _STRANGE = 4, 0.4

# A word may stand in several lists: it counts for each of them. What English writes the same and uses in another way
# (no, on, plus, as, do, per, pour, son, met, van, den, con, in, is) tells no other language and stands in no list.
_COMMON = {
    "English": "the of and to that it with for are this was by you from have they their which there has be at",
    "German": "der das und ist nicht ein eine einen zu mit von auf für sich dem des auch wird im oder sie sind",
    "French": "les est une dans qui pas sur avec sont ce cette du au aux nous vous et ou il le sa elle leur",
    "Spanish": "el los las y por una del se está como más pero lo su sus para es muy que un en",
    "Italian": "di che è gli della delle sono nel alla dei non anche il si più questo un una le",
    "Portuguese": "o os uma não em da dos das ao ele são seu mais também isso à você na que um com",
    "Dutch": "het een dat niet zijn voor ook wordt deze aan op bij maar de en",
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
    said_text = _unquoted(continuation, chosen.removesuffix(original))
    said = _scripts(said_text)
    if said.total() < _ENOUGH:
        return False
    models = [found for found in map(_scripts, (original, chosen)) if found.total() >= _ENOUGH]
    if not models:
        return False
    _settle(said, models)
    script = said.most_common(1)[0][0]
    if any(_share(model, script) >= _PRESENT for model in models):
        return script == "Latin" and _latin_differs(said_text, chosen)
    if all(_share(said, model.most_common(1)[0][0]) < _ABSENT for model in models):
        return True
    # A part in another script: a sign that was read out holds hardly any common words, a switch does.
    return (
        _share(said, script) >= _MOST
        and all(_share(model, script) == 0 for model in models)
        and (script != "Latin" or any(number >= _WORDS for number in _languages(said_text).values()))
    )


def _settle(said: Counter[str], models: Sequence[Counter[str]]) -> None:
    """Call characters that Chinese and Japanese share by the language of the good answer."""
    met = {script for model in models for script in ("Chinese", "Japanese") if model[script]}
    met = met or {"Japanese" if said["Japanese"] else "Chinese"}
    # Where both are met, the characters of the continuation may be either's.
    said_name = "Japanese" if "Japanese" in met else "Chinese"
    model_name = "Chinese" if "Chinese" in met else "Japanese"
    for counts, name in ((said, said_name), *((model, model_name) for model in models)):
        if "Han" in counts:
            counts[name] += counts.pop("Han")


def _unquoted(continuation: str, prefix: str) -> str:
    """A continuation without what it quotes; a quotation may have begun in the prefix."""
    blanked = _QUOTED.sub(lambda quoted: " " * len(quoted[0]), prefix + continuation)
    return blanked[len(prefix) :]


def _prose(text: str) -> str:
    """The text without formulas, code and addresses."""
    return _ASCII.sub(lambda run: run[0] if _OF_CODE.isdisjoint(run[0]) else " ", _WORDLESS.sub(" ", text))


def _scripts(text: str) -> Counter[str]:
    """Amounts of text by script, in Latin letters."""
    counts = letters_by_script(prose := _prose(text))
    if len(counts) > 1:
        counts = letters_by_script(_LATIN_NAME.sub(" ", prose))
    if counts["Japanese"] + counts["Chinese"]:
        if counts["Japanese"] >= _KANA * counts["Chinese"]:
            name = "Japanese"
        else:
            name = "Chinese" if len(_ONLY_CHINESE.intersection(prose)) >= _TWO else "Han"
        both = counts.pop("Japanese", 0) + counts.pop("Chinese", 0)
        counts[name] = both
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
    """How many different common words of each language a text holds."""
    words = set(_WORD.findall(_prose(text).casefold()))
    return Counter(language for word in words for language in _LANGUAGES.get(word, ()))
