"""Does a server continue a begun answer, byte for byte? Proved at the start of a run; used by `openai.py`.

Three ways to ask are in use: fields beside the messages (vLLM, SGLang), a trailing assistant message alone (LMDeploy,
llama.cpp), a mark on that message (DeepSeek, Mistral). Each is tried in turn and believed only on evidence:

- where the server shows its prompt (vLLM's /tokenize and /detokenize), that prompt ends with the prefix, and has as
  many tokens as the server counts for the real request;
- elsewhere, greedy answers must agree with themselves: what follows `prefix + beginning` has to be the rest of what
  followed `prefix`, blanks included, for two prefixes of three; and odd white space must lengthen the prompt.

A server that begins a new answer, repeats the prefix, or strips blanks fails the second; a template that trims its
messages loses leading blanks, which is found out, and prefixes that begin with one are refused alone.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple

from pipelines.engines.openai_client import Failed, Refused

Mode = Literal["fields", "trailing", "mark"]
MODES: Final[tuple[Mode, ...]] = ("fields", "trailing", "mark")

_BEGUN: Final = ("1, 2, 3, 4, 5, 6,", "one two three one two three one", "red, green, blue, red, green,")
_NEEDED: Final = 2
_TOKENS: Final = 16
_BLANKS: Final = "\n \n\t\n  "
# A blank in front, two in the middle, an empty line: what careless joins lose.
_PREFIX: Final = "  Well,  one\n\ntwo is"
_END: Final = 40


class Said(NamedTuple):
    """A greedy answer and the tokens of its prompt (0 where the server does not say)."""

    text: str
    prompt_tokens: int


# (prefix, mode, most tokens) -> what the server says.
Say = Callable[[str, Mode, int], Awaitable[Said]]


class Shown(NamedTuple):
    """A prompt as the server shows it, its tokens, and the prefix alone as the server's tokenizer reads it back."""

    prompt: str
    tokens: int
    alone: str


# None where the server shows nothing.
Show = Callable[[str], Awaitable[Shown | None]]


def with_prefix(body: dict[str, Any], prefix: str, mode: Mode) -> dict[str, Any]:
    """A chat request's body that asks to continue `prefix`."""
    turn: dict[str, Any] = {"role": "assistant", "content": prefix}
    if mode == "mark":
        turn["prefix"] = True
    asked = body | {"messages": [*body["messages"], turn]}
    if mode == "fields":
        asked |= {"add_generation_prompt": False, "continue_final_message": True}
    return asked


class Proof(NamedTuple):
    """How prefixes are continued. keeps_leading_blanks: False where those that begin with a blank lose it."""

    mode: Mode
    keeps_leading_blanks: bool


async def prove(say: Say, show: Show) -> Proof | str:
    """How this server continues a begun answer, or why none of the ways can be believed."""
    reasons: dict[str, None] = {}
    for mode in MODES:
        try:
            for prefix in (_PREFIX, _PREFIX.lstrip()) if mode == "fields" else ():
                shown = await _shown(prefix, show, say)
                if shown is not None and _ends_with(shown, prefix):
                    return Proof(mode, prefix == _PREFIX)
                if shown is not None and prefix != _PREFIX:
                    return f"its prompt ends with {shown.prompt[-_END:]!r} instead of the beginning"
            reason = await _disagreement(say, mode)
            if reason is None:
                plain, blank = [
                    (await say(begun, mode, 1)).prompt_tokens for begun in ("one", _BLANKS + "one")
                ]
                return Proof(mode, blank > plain)
        except (Refused, Failed) as error:
            reason = str(error)
        reasons[reason] = None
    return "; ".join(reasons)


async def _shown(prefix: str, show: Show, say: Say) -> Shown | None:
    """The prompt that the server shows for `prefix`; None where it shows none, or not the one it answers."""
    shown = await show(prefix)
    if shown is None:
        return None
    counted = (await say(prefix, "fields", 1)).prompt_tokens
    return None if counted and counted != shown.tokens else shown


def _ends_with(shown: Shown, prefix: str) -> bool:
    """A small vocabulary cannot say every prefix; then the prompt has to end with what it makes of it."""
    lossy = shown.alone.strip() != prefix.strip()
    return shown.prompt.endswith(shown.alone if lossy and shown.alone else prefix)


async def _disagreement(say: Say, mode: Mode) -> str | None:
    """Why greedy answers do not show that prefixes are continued in this mode; None where they do."""
    agreeing, reason = 0, ""
    for prefix in _BEGUN:
        whole = (await say(prefix, mode, _TOKENS)).text
        if whole.lstrip().startswith(prefix):
            return "it repeats the beginning instead of continuing it"
        cut = _inner_blank(whole)
        if cut is None:
            reason = reason or f"after {prefix!r} it said only {whole[:40]!r}"
            continue
        rest = (await say(prefix + whole[:cut], mode, _TOKENS // 2)).text
        expected = whole[cut:]
        if rest.strip() and (expected.startswith(rest) or rest.startswith(expected)):
            agreeing += 1
        else:
            reason = f"after {(prefix + whole[:cut])[-40:]!r} it said {rest[:40]!r}, before {expected[:40]!r}"
    if agreeing < _NEEDED:
        return reason
    plain, spaced = [(await say(text, mode, 1)).prompt_tokens for text in ("Well, one", f"Well,{_BLANKS}one")]
    if plain and spaced <= plain:
        return "white space inside the beginning is lost"
    return None


def _inner_blank(text: str) -> int | None:
    """Where the second word of a text ends, or None: cutting there shows whether blanks survive."""
    ends = [i for i in range(1, len(text)) if text[i].isspace() and not text[i - 1].isspace()]
    ends = [end for end in ends if text[:end].strip() and text[end:].strip()]
    return ends[len(ends) // 3] if ends else None
