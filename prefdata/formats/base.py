"""What a format is: one way of writing a row, read into a canonical record and written back.

Each file of this folder holds one `Format`. Reading has two steps. `view` takes a row as it stands and keeps every
turn and image together with its *place in the row* ("conversations[2].value"); it never fails, so that the rules can
name all problems of a bad row. `to_record` is the strict step: the row must fit the `row` struct, and then the view
becomes a record. The decision to question: two faces of the same reading instead of one. The rules need places and
tolerance, everything else needs certainty, and a single reader would do neither well.
"""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import msgspec

from prefdata.records import (
    Conversation,
    Media,
    MediaKind,
    MediaRef,
    Message,
    Part,
    PreferencePair,
    Question,
    Record,
    Role,
    Text,
    merge_text,
)

Kind = Literal["pair", "conversation", "question"]
KINDS: dict[type, Kind] = {PreferencePair: "pair", Conversation: "conversation", Question: "question"}


class BadRow(ValueError):
    """A row that does not have the format's shape: the field and what is wrong with it."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}" if field else problem)
        self.field, self.problem = field, problem


class CannotHold(ValueError):
    """The target has no place for this record's content; writing it would change its meaning."""


class Written(msgspec.Struct, frozen=True):
    """A row ready to be written.

    `lost` names what is not in it or not read back from it, `ignored` what is carried as extra keys that the
    format's own readers do not look at.
    """

    row: dict[str, Any]
    lost: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()


class Turn(msgspec.Struct, frozen=True):
    """One turn as found in a row. `role` is None when the word used is not one the format knows."""

    role: Role | None
    said: str
    parts: tuple[Part, ...]
    field: str

    @property
    def text(self) -> str:
        """The text of the turn, media left out."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Found(msgspec.Struct, frozen=True):
    """One image, video or audio as found in a row."""

    media: Media
    field: str


class View(msgspec.Struct, kw_only=True):
    """A row as it stands, with places. What is missing or of a wrong type is simply not here."""

    kind: Kind
    prompt: list[Turn] = []
    chosen: list[Turn] = []
    rejected: list[Turn] = []
    # The rejected side's own copy of the prompt, where the format writes the prompt twice.
    rejected_prompt: list[Turn] | None = None
    media: list[Found] = []
    # How many placeholders of each kind the prompt's text holds; None where the format has none.
    slots: dict[MediaKind, int] | None = None
    # A single image without a placeholder is put in front by the format's readers.
    front: bool = False
    # The prompt was taken from the common beginning of both sides.
    implicit: bool = False
    # Places of references that are empty texts.
    blank_media: list[str] = []
    answer: tuple[str, ...] = ()
    answer_type: str | None = None
    options: tuple[str, ...] = ()
    continued: str | None = None

    def count(self, kind: MediaKind) -> int:
        """How many media of a kind the row lists."""
        return sum(1 for found in self.media if found.media.kind == kind)


class Holds(msgspec.Struct, frozen=True, kw_only=True):
    """What a format can hold, used to refuse content and to print the table of formats."""

    turns: bool  # a prompt of several turns
    system: bool
    tools: bool = False
    images: Literal["none", "one", "many"] = "many"
    kinds: tuple[MediaKind, ...] = ("image",)
    # Literal placeholder text in a turn is safe (typed parts), or safe only where the row has no media.
    literal: Literal["always", "without-media", "never"] = "without-media"
    # Literal placeholder text in an answer stays text.
    literal_in_answer: bool = True
    margin: bool = False
    many_answers: bool = False  # chosen and rejected may be several turns


# One row's four hashable pieces: media, prompt, chosen, rejected (the last two are "" where there is no pair).
Signature = tuple[str, str, str, str]


class Format:
    """One format. Subclasses set the class variables and the methods that differ."""

    id: ClassVar[str]
    title: ClassVar[str]
    kinds: ClassVar[tuple[Kind, ...]]
    row: ClassVar[type[msgspec.Struct]]
    marker: ClassVar[str | None]
    holds: ClassVar[Holds]
    # How a file of this format is written: JSON lines or one JSON array.
    container: ClassVar[Literal["jsonl", "json"]] = "jsonl"
    # Keys that make up the content; every other key is carried in `record.meta`.
    content_keys: ClassVar[frozenset[str]]
    # Key often written by mistake -> the right one.
    misspelt: ClassVar[dict[str, str]] = {}
    sample: ClassVar[str]

    def view(self, row: dict[str, Any]) -> View:
        """The row with places; never raises on a dictionary."""
        raise NotImplementedError

    def write(self, record: Any) -> Written:
        """The row of a record whose content has been found to fit."""
        raise NotImplementedError

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """(code, field, detail) of what the struct cannot say about a row's keys and types."""
        return iter(())

    def images(self, row: Any) -> str | list[str] | None:
        """The image references of a strict row."""
        return getattr(row, "image", None)

    def signature(self, row: Any) -> Signature:
        """The pieces of a strict row by which duplicates are found."""
        raise NotImplementedError

    def clean(self, row: Any) -> bool:
        """Whether the rules surely find nothing in this strict row. False means: look closer, not: bad."""
        return False

    def to_record(self, row: dict[str, Any]) -> Record:
        """The canonical record of a row. Raises BadRow."""
        try:
            msgspec.convert(row, self.row, strict=True)
        except msgspec.ValidationError as error:
            problem, _, place = str(error).partition(" - at `$")
            raise BadRow(place.rstrip("`").lstrip("."), problem[0].lower() + problem[1:]) from error
        for _, field, what in self.shape(row):
            raise BadRow(field, what or "the key is missing")
        return self.record_of(self.view(row), row)

    def record_of(self, view: View, row: dict[str, Any]) -> Record:
        """Turn a complete view into a record."""
        margin = row.get("margin")
        identity = row.get("id")
        meta = {key: value for key, value in row.items() if key not in self.content_keys}
        if isinstance(identity, str):
            del meta["id"]
        common: dict[str, Any] = {
            "media": tuple(found.media for found in view.media),
            "id": identity if isinstance(identity, str) else None,
        }
        limit = len(view.media)
        if view.kind == "question":
            return Question(
                prompt=_messages(view.prompt, limit),
                answer=view.answer,
                chosen=view.continued,
                answer_type=view.answer_type,
                options=view.options,
                meta=meta,
                **common,
            )
        if view.kind == "conversation":
            return Conversation(messages=_messages(view.prompt, limit), meta=meta, **common)
        if isinstance(margin, int | float) and not isinstance(margin, bool):
            del meta["margin"]
            common["margin"] = float(margin)
        prompt = _messages(view.prompt, limit)
        if view.rejected_prompt is not None and _messages(view.rejected_prompt, limit) != prompt:
            raise BadRow("", "the prompt turns of the two sides differ, so this is not a pair")
        for side, turns in (("chosen", view.chosen), ("rejected", view.rejected)):
            if not turns:
                raise BadRow(side, "no answer turn after the prompt")
        return PreferencePair(
            prompt=prompt,
            chosen=_messages(view.chosen, limit),
            rejected=_messages(view.rejected, limit),
            meta=meta,
            **common,
        )

    def from_record(self, record: Record) -> Written:
        """The row that says the same as the record. Raises CannotHold where the format has no place for its content."""
        if KINDS[type(record)] not in self.kinds:
            names = " or ".join(self.kinds)
            raise CannotHold(f"a {KINDS[type(record)]} (`{self.id}` holds a {names})")
        from prefdata.formats.holding import check_holds

        check_holds(self, record)
        return self.write(record)


def _messages(turns: list[Turn], limit: int) -> tuple[Message, ...]:
    return tuple(_message(turn, limit) for turn in turns)


def _message(turn: Turn, limit: int) -> Message:
    if turn.role is None:
        raise BadRow(turn.field.rpartition(".")[0] or turn.field, f"unknown role {turn.said!r}")
    for part in turn.parts:
        if isinstance(part, MediaRef) and part.index >= limit:
            raise BadRow(turn.field, f"refers to media {part.index + 1}, the row lists {limit}")
    return Message(turn.role, merge_text(turn.parts))
