"""`lf-alpaca`: LLaMA-Factory's alpaca rows: instruction, input, and `output` (with `label`) or `chosen` and `rejected`.

LLaMA-Factory joins `instruction` and `input` by a newline, and so does reading here; written is `instruction` alone.
Earlier rounds stand in `history` as [question, answer] pairs. A single path under `image`, as LLaVA's evaluation rows
have it, is read as well.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import CannotHold, Format, Holds, Kind, Signature, Turn, View, Written
from prefdata.formats.calls import tools_as_text
from prefdata.formats.dialect import MARKERS, Splitter, in_reading_order, join
from prefdata.formats.fields import (
    Picture,
    answer_turn,
    blank_media,
    extras,
    media_of,
    paths_in,
    plain_turn,
    said,
    system_and_rest,
    uris,
)
from prefdata.formats.lf_sharegpt import KEYS
from prefdata.records import Conversation, LabelledAnswer, PreferencePair


class Row(msgspec.Struct, gc=False):
    """A question with its answer or answers."""

    instruction: str
    input: str | None = None
    output: str | None = None
    chosen: str | None = None
    rejected: str | None = None
    label: bool | None = None
    history: list[list[str]] | None = None
    system: str | None = None
    images: list[str | Picture] | None = None
    videos: list[str] | None = None
    audios: list[str] | None = None
    image: str | None = None


class LfAlpaca(Format):
    """LLaMA-Factory alpaca rows."""

    id = "lf-alpaca"
    title = "LLaMA-Factory alpaca rows, ranking, labelled (KTO) or plain"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair", "conversation", "labelled answer")
    row = Row
    marker = "<image>"
    container = "json"
    uniform = True
    holds = Holds(
        turns=True,
        system=True,
        kinds=("image", "video", "audio"),
        literal="never",
        literal_in_answer=False,
        inline=True,
    )
    content_keys = frozenset(
        {"instruction", "input", "output", "chosen", "rejected", "label", "history", "system", "image"}
        | set(KEYS.values())
    )
    also_reads = frozenset({"tools"})
    misspelt: ClassVar[dict[str, str]] = {"reject": "rejected", "prompt": "instruction"}
    sample = '[{"instruction":"<image>Animal?","chosen":"Cat","rejected":"Dog","images":["c.jpg"]}]'

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = [found for kind, key in KEYS.items() for found in media_of(row, key, kind)]
        single = media_of(row, "image")
        media += single
        splitter = Splitter([found.media for found in media], MARKERS)
        prompt = plain_turn(row, "system", "system")
        prompt += [*_history(row.get("history"), splitter), *_question(row, splitter)]
        view = self._answers(row, prompt)
        view.media, view.slots, view.front = media, splitter.found, bool(single)
        view.blank_media = blank_media(row, "image", *KEYS.values())
        return view

    def _answers(self, row: dict[str, Any], prompt: list[Turn]) -> View:
        if "chosen" in row or "rejected" in row:
            chosen, rejected = answer_turn(row, "chosen"), answer_turn(row, "rejected")
            return View(kind="pair", prompt=prompt, chosen=chosen, rejected=rejected)
        output, label = answer_turn(row, "output"), row.get("label")
        if isinstance(label, bool):
            wanted = (output, []) if label else ([], output)
            return View(
                kind="labelled answer", prompt=prompt, label=label, chosen=wanted[0], rejected=wanted[1]
            )
        return View(kind="conversation", prompt=prompt + output)

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """An answer or both sides, and rounds of two texts."""
        if "chosen" in row or "rejected" in row:
            for key in ("chosen", "rejected"):
                if row.get(key) is None:
                    yield "PD021", key, ""
        elif row.get("output") is None:
            yield "PD021", "output", ""
        rounds = row.get("history")
        for index, item in enumerate(rounds if isinstance(rounds, list) else []):
            if isinstance(item, list) and len(item) != 2:
                yield (
                    "PD022",
                    f"history[{index}]",
                    f"a round is a question and an answer, not {len(item)} texts",
                )

    def write(self, record: PreferencePair | Conversation | LabelledAnswer) -> Written:
        """The row of a pair, conversation or labelled answer; earlier rounds go into `history`."""
        turns = record.messages if isinstance(record, Conversation) else record.prompt
        if isinstance(record, LabelledAnswer):
            turns = (*turns, *record.answer)
        turns, media = in_reading_order(turns, record.media, leave_single=False)
        if isinstance(record, PreferencePair):
            turns = (*turns, *record.chosen)
        system, spoken = system_and_rest(turns)
        roles = [turn.role for turn in spoken]
        if not roles or len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
            raise CannotHold("turns that do not alternate")
        texts = [join(turn, media, MARKERS) for turn in spoken]
        row: dict[str, Any] = {"instruction": texts[-2]}
        if isinstance(record, PreferencePair):
            row |= {"chosen": texts[-1], "rejected": record.rejected[0].text}
        else:
            row["output"] = texts[-1]
        if isinstance(record, LabelledAnswer):
            row["label"] = record.label
        if len(texts) > 2:
            row["history"] = [list(pair) for pair in zip(texts[:-2:2], texts[1:-2:2], strict=True)]
        if system is not None:
            row["system"] = system
        for kind, key in KEYS.items():
            if found := uris(media, kind):
                row[key] = found
        added, lost, carried = extras(record, row)
        return Written(tools_as_text(row | added), tuple(lost), tuple(carried))

    def images(self, row: Row) -> str | list[str] | None:
        """Images only; videos and audios are looked for by the slow path."""
        return paths_in(row.images) if row.images is not None else row.image

    def signature(self, row: Row) -> Signature:
        """All media, everything asked, both answers."""
        media = msgspec.json.encode((row.images, row.image, row.videos, row.audios)).decode()
        prompt = msgspec.json.encode((row.system, row.history, row.instruction, row.input)).decode()
        return media, f"{row.label}\0{prompt}", row.chosen or row.output or "", row.rejected or ""


def _question(row: dict[str, Any], splitter: Splitter) -> list[Turn]:
    texts = [row.get(key) for key in ("instruction", "input")]
    text = "\n".join(text for text in texts if isinstance(text, str) and text)
    return [Turn("user", "user", splitter.split(text), "instruction")]


def _history(value: Any, splitter: Splitter) -> list[Turn]:
    turns = []
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, list) and len(item) == 2 and all(isinstance(text, str) for text in item):
            turns.append(Turn("user", "user", splitter.split(item[0]), f"history[{index}][0]"))
            turns.append(said(item[1], f"history[{index}][1]"))
    return turns
