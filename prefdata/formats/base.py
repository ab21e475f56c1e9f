"""What a format is: one way of writing a row, read into a canonical record and written back.

Each file of this folder holds one `Format`. Reading has two steps. `view` takes a row as it stands and keeps every
turn and image together with its *place in the row* ("conversations[2].value"); it never fails, so that the rules can
name all problems of a bad row. `to_record` is the strict step: the row must fit the `row` struct, and then the view
becomes a record. The decision to question: two faces of the same reading instead of one. The rules need places and
tolerance, everything else needs certainty, and a single reader would do neither well.
"""

import functools
from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import msgspec

from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Media,
    MediaKind,
    Part,
    PreferencePair,
    Question,
    RankedCandidates,
    Record,
    Role,
    Text,
    ToolCall,
)
from prefdata.spelling import MEDIA_KEYS, meant

Kind = Literal["pair", "conversation", "question", "labelled answer", "ranking"]
KINDS: dict[type, Kind] = {
    PreferencePair: "pair",
    Conversation: "conversation",
    Question: "question",
    LabelledAnswer: "labelled answer",
    RankedCandidates: "ranking",
}


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
    calls: tuple[ToolCall, ...] = ()
    reasoning: str | None = None
    call_id: str | None = None
    name: str | None = None
    # Keys of the turn that are none of the above, and the names of what lies deeper in it and is not read.
    extra: dict[str, Any] = {}
    unread: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The text of the turn, media left out."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


class Found(msgspec.Struct, frozen=True):
    """One image, video or audio as found in a row."""

    media: Media
    field: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate as found in a row."""

    turns: list[Turn]
    score: float | None = None
    rank: float | None = None
    meta: dict[str, Any] = {}


class View(msgspec.Struct, kw_only=True):
    """A row as it stands, with places. What is missing or of a wrong type is simply not here."""

    kind: Kind
    prompt: list[Turn] = []
    chosen: list[Turn] = []
    rejected: list[Turn] = []
    # The rejected side's own copy of the prompt, where the format writes the prompt twice.
    rejected_prompt: list[Turn] | None = None
    media: list[Found] = []
    # The rejected side's own media, where the format has them.
    rejected_media: list[Found] | None = None
    # Answers of a ranking, in the row's order.
    candidates: list[Choice] = []
    # A labelled answer stands under `chosen` when it is wanted, else under `rejected`.
    label: bool | None = None
    margin: float | None = None
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
    # Names of what the row holds and the view does not, besides what its turns say of themselves.
    unread: tuple[str, ...] = ()

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
    calls: bool = False  # structured tool calls
    reasoning: bool = False
    names: bool = False  # names of speakers, ids of tool calls
    media_keys: bool = False  # what a typed part says beside its reference
    turn_keys: frozenset[str] | None = (
        None  # other keys of turns are written, but for these, which mean something
    )
    per_side: bool = False  # other media for the rejected side
    inline: bool = False  # image bytes, where the container holds bytes


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
    # Keys beside the content that the format's own readers use.
    also_reads: ClassVar[frozenset[str]] = frozenset()
    # Keys of a turn beside its content that the format's own readers use.
    turn_reads: ClassVar[frozenset[str]] = frozenset()
    # Key often written by mistake -> the right one.
    misspelt: ClassVar[dict[str, str]] = {}
    sample: ClassVar[str]
    # Whether texts of a row go into its record as they are, but for placeholders and what looks like a token or tag.
    # Rows of such formats are converted by copying where possible (splice.py).
    uniform: ClassVar[bool] = False
    # Readers tell from the first row whether all rows of a file have images.
    one_modality: ClassVar[bool] = False
    # False: rows are read, never written.
    writes: ClassVar[bool] = True

    def view(self, row: dict[str, Any]) -> View:
        """The row with places; never raises on a dictionary."""
        raise NotImplementedError

    def write(self, record: Any) -> Written:
        """The row of a record whose content has been found to fit; never called where `writes` is False."""
        raise NotImplementedError

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """(code, field, detail) of what the struct cannot say about a row's keys and types."""
        return iter(())

    def unfit(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """(code, field, detail) of what the format's own readers stop at and reading here understands all the same."""
        return iter(())

    def mistaken(self, name: str, row: dict[str, Any], struct: type[msgspec.Struct]) -> str | None:
        """The key of a row (or an object in it) that stands where `name` should: known mistakes, then near misses."""
        known = next((key for key, right in self.misspelt.items() if right == name and key in row), None)
        if known is not None:
            return None if known in self.content_keys else known
        # Where the row has media under one key of the format, another name beside it is metadata.
        if name in MEDIA_KEYS and any(key in row for key in MEDIA_KEYS & self.content_keys):
            return None
        for key, value in row.items():
            if key not in self.content_keys and value and meant(struct, key) == name:
                return key
        return None

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
        from prefdata.formats.building import build

        return build(view, row, self.content_keys)

    def from_record(self, record: Record, *, inline: bool = False) -> Written:
        """The row that says the same as the record. Raises CannotHold where the format has no place for its content.

        `inline`: the container (parquet) has a place for image bytes.
        """
        if not self.writes:
            raise CannotHold(f"anything (`{self.id}` is only read)")
        if KINDS[type(record)] not in self.kinds:
            names = " or ".join(self.kinds)
            raise CannotHold(f"a {KINDS[type(record)]} (`{self.id}` holds a {names})")
        from prefdata.formats.holding import check_holds, missed, unheld, writable_turns

        check_holds(self, record, inline)
        # A key that means something else in the target would be read as content there.
        clashing = self.reserved.intersection(record.meta)
        if clashing:
            meta = {key: value for key, value in record.meta.items() if key not in clashing}
            record = msgspec.structs.replace(record, meta=meta)
        missing = (*sorted(clashing), *unheld(self, record))
        record, keys = writable_turns(self, record)
        written = self.write(record)
        if keys.given or keys.lost:
            gone, unused = missed(self, keys, written.row)
            missing = (*missing, *gone)
            written = Written(written.row, written.lost, (*written.ignored, *unused))
        if not missing and self.also_reads.isdisjoint(written.ignored):
            return written
        ignored = tuple(name for name in written.ignored if name not in self.also_reads)
        return Written(written.row, tuple(dict.fromkeys((*written.lost, *missing))), ignored)

    @functools.cached_property
    def reserved(self) -> frozenset[str]:
        """Keys that mean something in a row of this format."""
        return self.content_keys | {field.encode_name for field in msgspec.structs.fields(self.row)}

    def recognise(self, row: dict[str, Any]) -> str | None:
        """Why a row that no built-in format knows is of this format; for formats added by other packages."""
        return None
