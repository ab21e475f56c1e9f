"""Which continuations make no pair: the reasons, in words that stand in dropped.jsonl and the card.

A continuation that equals the good answer teaches nothing; one that talks about the missing image teaches the model
to talk about images; one cut at the length limit differs from the good answer by its missing end above all.
"""

import re
from difflib import SequenceMatcher

from prefdata.formats.mmpr import squeezed

# Equal but for so few words, and with the same numbers, counts as the same answer.
_SAME_WORDS = 0.95

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_THING = r"(?:image|picture|photo|photograph|figure|screenshot|diagram|visual)s?"
_GIVEN = r"(?:provided|attached|uploaded|given|shared|included|available|visible|loaded)"
_UNABLE = (
    r"(?:can(?:no|['’]?)t|can not|could not|couldn['’]t|unable to|not able to"
    r"|no access to|(?:not|n['’]t) have access to)"
)
_COMMENTARY = re.compile(
    "|".join(
        (
            rf"\b{_UNABLE}\b[^.!?\n]{{0,60}}?\b{_THING}\b",
            rf"\bno {_THING}\b[^.!?\n]{{0,30}}?\b{_GIVEN}\b",
            rf"\b{_THING}\b[^.!?\n]{{0,20}}?"
            rf"\b(?:is|was|are|were|has|have)(?: not|n['’]t)\b[^.!?\n]{{0,20}}?\b{_GIVEN}\b",
            r"\b(?:please|could you|can you)\b[^.!?\n]{0,20}?"
            rf"\b(?:provide|upload|attach|share|send)\b[^.!?\n]{{0,30}}?\b{_THING}\b",
            rf"\bwithout (?:seeing|access to|being able to see|viewing)\b[^.!?\n]{{0,20}}?\b{_THING}\b",
            r"\bas an? (?:AI|artificial intelligence|(?:large )?language model|text-based)\b",
            r"(?:无法|不能|沒有辦法|无从)[^。！？\n]{0,8}(?:看到|查看|访问|識別|识别|打开)[^。！？\n]{0,6}(?:图|圖|照片)",
            r"(?:没有|沒有|未)(?:提供|上传|看到|附)[^。！？\n]{0,6}(?:图|圖|照片)",
            r"请(?:提供|上传|发送)[^。！？\n]{0,8}(?:图|照片)",
            r"作为一个?(?:人工智能|AI|语言模型)",
            r"画像を?(?:見る|確認する|閲覧する)ことが?(?:でき|出来)(?:ません|ない)",
        )
    ),
    re.IGNORECASE,
)


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


def comments_on_itself(continuation: str) -> bool:
    """Whether the text speaks of a missing image or of being a model."""
    return _COMMENTARY.search(continuation) is not None
