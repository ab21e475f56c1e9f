"""Filters that leave rows out of training on purpose: named, off unless asked for, every row counted and named.

Where they stand: `sowing.py` asks a `Sieve` about each record before its tree is made, so that a mixture's counts are
of what is left. The decision to question: what looks too long or unbroken is judged by the writing it is in. The reward
loader of InternLM-XComposer deletes every answer of more than 500 characters that holds an unbroken run of more than
100: a rule that takes long Chinese, Japanese and Thai answers, long links and rules of tables with it. `unbroken-run`
lets those pass; `ixc-quality` is the original rule to the letter, for who wants its data.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from prefdata.errors import PrefdataError
from prefdata.records import Conversation, Message, PreferencePair, Record
from prefdata.rules.pair import template_token
from prefdata.rules.repetition import loop, may_repeat
from prefdata.stats.scripts import script_of
from trainers.config import TrainConfig

LengthUnit = Literal["auto", "characters", "words", "tokens"]
Count = Callable[[str], int]

# The original's numbers (XComposer2.5-Reward, finetune.py): characters of the answer, characters of the run.
_LONG, _RUN = 500, 100
_IXC_MARKS = ("<|im_start|>", "<|im_end|>")
# Writing without spaces between words, whose length is counted in characters. Korean has spaces.
_UNSPACED = frozenset(("Chinese", "Japanese", "Thai"))
_UNSPACED_LETTER = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]"
)
_LINK = re.compile(r"\w+://|www\.|data:")


def template_leak(text: str) -> str | None:
    """A mark of a chat template inside the answer, which would teach a turn to go on behind its end."""
    mark = template_token(text)
    return f"holds {mark}" if mark else None


def empty_answer(text: str) -> str | None:
    """Nothing but blanks."""
    return None if text.strip() else "is blank"


def unbroken_run(text: str) -> str | None:
    """More than 500 characters with a run of more than 100 that no link and no writing without spaces explains."""
    if len(text) <= _LONG:
        return None
    for run in text.split():
        if len(run) <= _RUN or not any(
            map(str.isalnum, run)
        ):  # without letters: a rule of a table, a dotted line
            continue
        if _LINK.search(run) is None and _UNSPACED_LETTER.search(run) is None:
            return f"holds {len(run)} characters without a space ({run[:20]}...)"
    return None


def repetition(text: str) -> str | None:
    """A loop: the same unit again and again, as `prefdata validate` finds it (PD211, PD212)."""
    found = loop(text) if may_repeat(text) else None
    return f"repeats itself ({found[1]})" if found else None


def ixc_quality(text: str) -> str | None:
    """The rule of XComposer2.5-Reward's loader as it is: template marks, blank, or long with an unbroken run."""
    if any(mark in text for mark in _IXC_MARKS):
        return "holds <|im_start|> or <|im_end|>"
    if not text.strip():
        return "is blank"
    longest = max(map(len, re.split("[ \n]", text)))
    return f"holds {longest} characters without a space" if len(text) > _LONG and longest > _RUN else None


FILTERS: dict[str, Callable[[str], str | None]] = {
    "template-leak": template_leak,
    "empty-answer": empty_answer,
    "unbroken-run": unbroken_run,
    "repetition": repetition,
    "ixc-quality": ixc_quality,
}
"""What `--filters` knows; each is asked about the last message of either side."""


@dataclass
class Sieve:
    """The filters of one run and how many rows each has left out."""

    names: tuple[str, ...] = ()
    max_ratio: float = 0.0
    """Either side may be so many times as long as the other; 0 = any."""
    max_chosen_ratio: float = 0.0
    """The chosen side may be so many times as long as the rejected; 0 = any."""
    min_gap: int = 0
    """A pair with a smaller difference of lengths is kept, whatever its ratio."""
    unit: LengthUnit = "auto"
    tokens: Count | None = None
    """Counts tokens of a text; needed where the unit is tokens."""
    chosen_only: bool = False
    """Whether the rejected side is not trained on, so that it is not asked about either."""
    counts: Counter[str] = field(default_factory=Counter)

    def reason(self, record: Record) -> str | None:
        """Why this record is left out, counted under the filter's name; None = it is kept."""
        sides = last_messages(record)[: 1 if self.chosen_only else None]
        for name in self.names:
            for side, text in sides:
                if said := FILTERS[name](text):
                    return self._left_out(name, f"{side} {said}")
        if len(sides) == 2 and (self.max_ratio or self.max_chosen_ratio):
            return self._lengths(sides[0][1], sides[1][1])
        return None

    def _lengths(self, chosen: str, rejected: str) -> str | None:
        long, short, unit = lengths(chosen, rejected, self.unit, self.tokens)
        if abs(long - short) < self.min_gap:
            return None
        said = f"chosen has {long} {unit}, rejected {short}"
        if self.max_chosen_ratio and long > self.max_chosen_ratio * short:
            return self._left_out("max-chosen-ratio", said)
        if self.max_ratio and max(long, short) > self.max_ratio * min(long, short):
            return self._left_out("max-length-ratio", said)
        return None

    def _left_out(self, name: str, said: str) -> str:
        self.counts[name] += 1
        return f"filter {name}: {said}"


def make_sieve(config: TrainConfig, tokens: Count) -> Sieve:
    """The filters that a run asks for; tokens counts the tokens of a text."""
    for name in ("max_length_ratio", "max_chosen_ratio"):
        ratio = getattr(config, name)
        if 0 < ratio < 1:
            raise PrefdataError(
                f"--{name.replace('_', '-')} {ratio:g}: a ratio of lengths is 1 or more; 0 takes every length."
            )
        if ratio and config.stage == "sft":
            raise PrefdataError(
                f"--{name.replace('_', '-')} {ratio:g}: compares two answers, and --stage sft trains on the chosen one "
                "alone; leave it at 0."
            )
    if config.min_length_gap and not (config.max_length_ratio or config.max_chosen_ratio):
        raise PrefdataError(
            "--min-length-gap does nothing without --max-length-ratio or --max-chosen-ratio; give one of them."
        )
    return Sieve(
        names=parse_filters(config.filters),
        max_ratio=config.max_length_ratio,
        max_chosen_ratio=config.max_chosen_ratio,
        min_gap=config.min_length_gap,
        unit=config.length_unit,
        tokens=tokens,
        chosen_only=config.stage == "sft",
    )


def parse_filters(text: str) -> tuple[str, ...]:
    """The names in a comma list, each once, in the order given."""
    names = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    for name in names:
        if name not in FILTERS:
            raise PrefdataError(
                f"--filters {name}: there is no such filter; choose from {', '.join(FILTERS)}."
            )
    return names


def last_messages(record: Record) -> list[tuple[str, str]]:
    """(side, text of its last message) of a pair or a conversation; empty for records that are not trained on."""
    if isinstance(record, PreferencePair):
        return [("chosen", _last(record.chosen)), ("rejected", _last(record.rejected))]
    return [("answer", _last(record.messages))] if isinstance(record, Conversation) else []


def lengths(
    chosen: str, rejected: str, unit: LengthUnit, tokens: Count | None = None
) -> tuple[int, int, str]:
    """Lengths of both sides in one unit, and its name. `auto`: words, or characters where either has no spaces."""
    if unit == "auto":
        unit = "characters" if _unspaced(chosen) or _unspaced(rejected) else "words"
    if unit == "tokens":
        if tokens is None:
            raise PrefdataError("lengths in tokens need a tokenizer.")
        return tokens(chosen), tokens(rejected), unit
    if unit == "words":
        return len(chosen.split()), len(rejected.split()), unit
    return len(chosen), len(rejected), unit


def _unspaced(text: str) -> bool:
    script = script_of(text)
    return script in _UNSPACED or (script == "other" and _UNSPACED_LETTER.search(text) is not None)


def _last(turns: tuple[Message, ...]) -> str:
    return turns[-1].text if turns else ""
