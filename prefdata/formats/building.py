"""The last step of reading: a complete view becomes a record, or the row is refused with the place that is at fault."""

from collections.abc import Iterable
from typing import Any

from prefdata.formats.base import BadRow, Found, Turn, View
from prefdata.formats.calls import read_tools
from prefdata.records import (
    Candidate,
    Conversation,
    LabelledAnswer,
    Media,
    MediaRef,
    Message,
    PreferencePair,
    Question,
    RankedCandidates,
    Record,
    bare,
    merge_text,
)


def build(view: View, row: dict[str, Any], content_keys: frozenset[str]) -> Record:
    """The record of a view. Raises BadRow."""
    identity = row.get("id")
    meta = {key: value for key, value in row.items() if key not in content_keys}
    if isinstance(identity, str):
        meta.pop("id", None)
    if "tools" in meta:  # a list in some files, JSON text of it in others
        meta["tools"] = read_tools(meta["tools"])
    common: dict[str, Any] = {
        "media": _media(view.media),
        "id": identity if isinstance(identity, str) else None,
        "unread": _unread(view),
    }
    if view.blank_media:
        raise BadRow(view.blank_media[0], "an empty text where the path of a file should be")
    for kind, slots in (view.slots or {}).items():
        # Which of them the places are for is anybody's guess, and "the second one" would change its meaning.
        if 0 < slots < (listed := view.count(kind)):
            raise BadRow(_first_user(view), f"{slots} of {listed} {kind}s have a placeholder (PD302)")
    limit = len(view.media)
    prompt = _messages(view.prompt, limit)
    if view.kind == "conversation":
        return Conversation(messages=prompt, meta=meta, **common)
    common["prompt"] = prompt
    if view.kind == "question":
        return Question(
            answer=view.answer,
            chosen=view.continued,
            answer_type=view.answer_type,
            options=view.options,
            meta=meta,
            **common,
        )
    if view.kind == "labelled answer":
        answer = view.chosen if view.label else view.rejected
        if not answer:
            raise BadRow("", "no answer turn after the prompt")
        return LabelledAnswer(answer=_messages(answer, limit), label=bool(view.label), meta=meta, **common)
    if view.kind == "ranking":
        candidates = tuple(
            Candidate(messages=_messages(one.turns, limit), score=one.score, rank=one.rank, meta=one.meta)
            for one in view.candidates
        )
        return RankedCandidates(candidates=candidates, meta=meta, **common)
    return _pair(view, row, meta, common)


def _pair(view: View, row: dict[str, Any], meta: dict[str, Any], common: dict[str, Any]) -> PreferencePair:
    limit = len(view.media)
    margin = row.get("margin") if "margin" in meta else None
    if view.margin is not None:
        common["margin"] = view.margin
    elif isinstance(margin, int | float) and not isinstance(margin, bool):
        del meta["margin"]
        common["margin"] = float(margin)
    if view.rejected_media is not None:
        common["rejected_media"] = _other_media(view)
    if view.rejected_prompt is not None:
        other = _messages(view.rejected_prompt, limit)
        if bare(other) != bare(common["prompt"]):
            raise BadRow("", "the prompt turns of the two sides differ, so this is not a pair")
        common["unread"] = named(common["unread"], dropped(other, common["prompt"]))
    for side, turns in (("chosen", view.chosen), ("rejected", view.rejected)):
        if not turns:
            raise BadRow(side, "no answer turn after the prompt")
        if repeats(turns, view.prompt):
            raise BadRow(side, f"{REPEATED} (PD103)")
    return PreferencePair(
        chosen=_messages(view.chosen, limit), rejected=_messages(view.rejected, limit), meta=meta, **common
    )


REPEATED = "begins with the prompt again; write the answer alone, or leave out `prompt`"


def repeats(side: list[Turn], prompt: list[Turn]) -> bool:
    """Whether a side is the whole conversation, with or without the prompt's system turn."""
    for asked in (prompt, [turn for turn in prompt if turn.role != "system"]):
        said = [(turn.role, turn.parts) for turn in asked]
        if said and said == [(turn.role, turn.parts) for turn in side[: len(said)]]:
            return True
    return False


def _first_user(view: View) -> str:
    return next((turn.field for turn in view.prompt if turn.role == "user"), "")


def dropped(worse: Iterable[Message | Turn], better: Iterable[Message | Turn]) -> tuple[str, ...]:
    """Names of keys in the rejected side's copy of the prompt, which is not kept, that the chosen side's has not."""
    pairs = zip(worse, better, strict=False)
    return tuple(
        f"`{key}` of a turn of the rejected side's prompt"
        for other, ours in pairs
        for key, value in other.extra.items()
        if value is not None and ours.extra.get(key) != value
    )


def named(*names: tuple[str, ...]) -> tuple[str, ...]:
    """Each name once."""
    return tuple(dict.fromkeys(name for some in names for name in some))


def _unread(view: View) -> tuple[str, ...]:
    sides = (view.prompt, view.chosen, view.rejected, view.rejected_prompt or ())
    turns = [turn for side in (*sides, *(one.turns for one in view.candidates)) for turn in side]
    return named(view.unread, *(turn.unread for turn in turns))


def _other_media(view: View) -> tuple[Media, ...] | None:
    ours, theirs = _media(view.media), _media(view.rejected_media or [])
    if [item.kind for item in ours] != [item.kind for item in theirs]:
        count = f"{len(ours)} for the chosen side and {len(theirs)} for the rejected one"
        raise BadRow("rejected_images", f"{count}: a pair has one prompt, so as many places for both")
    return theirs if theirs != ours else None


def _media(found: list[Found]) -> tuple[Media, ...]:
    return tuple(one.media for one in found)


def _messages(turns: list[Turn], limit: int) -> tuple[Message, ...]:
    return tuple(_message(turn, limit) for turn in turns)


def _message(turn: Turn, limit: int) -> Message:
    if turn.role is None:
        raise BadRow(turn.field.rpartition(".")[0] or turn.field, f"unknown role {turn.said!r}")
    for part in turn.parts:
        if isinstance(part, MediaRef) and part.index >= limit:
            raise BadRow(turn.field, f"refers to media {part.index + 1}, the row lists {limit}")
    return Message(
        turn.role,
        merge_text(turn.parts),
        calls=turn.calls,
        reasoning=turn.reasoning,
        call_id=turn.call_id,
        name=turn.name,
        extra=turn.extra,
    )
