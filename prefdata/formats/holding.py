"""Does a record fit into a format? The checks common to all writers.

Every refusal raises `CannotHold` with a short phrase that is the same for all rows with the same trouble, because
the converter counts rows by it.
"""

from prefdata.formats.base import CannotHold, Format
from prefdata.records import Conversation, Media, Message, PreferencePair, Question, Record, Text


def check_holds(target: Format, record: Record) -> None:
    """Raise CannotHold when `target` has no place for the record's content."""
    holds = target.holds
    prompt, answers = _sides(record)
    if not holds.turns and not isinstance(record, Conversation):
        turns = [turn for turn in prompt if turn.role != "system"]
        if [turn.role for turn in turns] != ["user"]:
            raise CannotHold("a prompt of several turns")
    if not holds.many_answers and isinstance(record, PreferencePair):
        for side in (record.chosen, record.rejected):
            if [turn.role for turn in side] != ["assistant"]:
                raise CannotHold("an answer of several turns")
    systems = [index for index, turn in enumerate(prompt) if turn.role == "system"]
    if systems and not holds.system:
        raise CannotHold("a system turn")
    if systems not in ([], [0]):
        raise CannotHold("a system turn that is not the first turn")
    if not holds.tools and any(turn.role == "tool" for turn in (*prompt, *answers)):
        raise CannotHold("a tool turn")
    _check_media(target, record.media)
    _check_places(target, prompt, answers, bool(record.media))


def _sides(record: Record) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    if isinstance(record, PreferencePair):
        return record.prompt, (*record.chosen, *record.rejected)
    if isinstance(record, Question):
        return record.prompt, ()
    return record.messages, ()


def _check_media(target: Format, media: tuple[Media, ...]) -> None:
    for item in media:
        if item.kind not in target.holds.kinds:
            raise CannotHold(f"{'audio' if item.kind == 'audio' else 'a ' + item.kind}")
        if item.uri is None:
            raise CannotHold("image bytes (JSON holds a path; write the images out first)")
    images = sum(1 for item in media if item.kind == "image")
    if images > {"none": 0, "one": 1, "many": images}[target.holds.images]:
        raise CannotHold("several images" if images > 1 else "an image")


def _check_places(
    target: Format, prompt: tuple[Message, ...], answers: tuple[Message, ...], has_media: bool
) -> None:
    marker, holds = target.marker, target.holds
    for turn in (*prompt, *answers):
        if turn.role != "user" and turn.media_indexes:
            raise CannotHold(f"an image inside a turn of the role `{turn.role}`")
    if marker is None or holds.literal == "always":
        return
    markers = (marker, *(f"<{kind}>" for kind in holds.kinds if kind != "image"))
    for turn in prompt:
        strict = (
            has_media
            or holds.literal == "never"
            or (turn.role == "assistant" and not holds.literal_in_answer)
        )
        if strict and _writes(turn, markers):
            raise CannotHold(f"the literal text {marker} (it would be read as an image's place)")
    if not holds.literal_in_answer and any(_writes(turn, markers) for turn in answers):
        raise CannotHold(f"the literal text {marker} in an answer (it would be read as an image's place)")


def _writes(turn: Message, markers: tuple[str, ...]) -> bool:
    # Joined text too: two parts around an image never join, but a marker must not arise from neighbours either.
    return any(marker in part.text for part in turn.content if isinstance(part, Text) for marker in markers)
