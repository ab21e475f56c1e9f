"""`openai`: chat messages as OpenAI's API takes them, with content parts and tool calls.

Images stand in the parts themselves, as paths, URLs or data URIs; a bare string is read as well. Rows that are only the
list of messages arrive here wrapped (`containers.as_row`). XTuner's rows are this format with `<IMG_CONTEXT>` in the
text and sizes beside the URL, which are carried. Video parts are read by vLLM and XTuner, not by OpenAI itself.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Found, Holds, Kind, Signature, View, Written
from prefdata.formats.fields import extras
from prefdata.formats.messages import TURN_KEYS, Messages, Said, message_row, part_problems
from prefdata.records import Conversation, Media, Message, Text, place_media


class Row(msgspec.Struct, gc=False):
    """A conversation; `tools` and other keys are carried along."""

    messages: list[Said]


class OpenAI(Format):
    """OpenAI messages."""

    id = "openai"
    title = "OpenAI chat messages with content parts and tool calls"
    kinds: ClassVar[tuple[Kind, ...]] = ("conversation",)
    row = Row
    marker = None
    uniform = True
    holds = Holds(
        turns=True,
        system=True,
        tools=True,
        kinds=("image", "video"),
        literal="always",
        calls=True,
        reasoning=True,
        names=True,
        media_keys=True,
        turn_keys=TURN_KEYS,
    )
    content_keys = frozenset({"messages"})
    also_reads = frozenset({"tools", "tool_choice", "parallel_tool_calls"})
    turn_reads = frozenset({"weight", "refusal", "audio", "loss"})
    misspelt: ClassVar[dict[str, str]] = {"from": "role", "value": "content", "conversations": "messages"}
    sample = (
        '{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"a.png"}},'
        '{"type":"text","text":"Color?"}]},{"role":"assistant","content":"Red."}]}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media: list[Found] = []
        return View(
            kind="conversation", prompt=Messages(media).turns(row.get("messages"), "messages"), media=media
        )

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Parts and calls."""
        yield from part_problems(row.get("messages"), "messages")

    def write(self, record: Conversation) -> Written:
        """The row of a conversation."""
        # A part is the image, so an image without a place has to get one.
        messages = place_media(record.messages, record.media)
        row: dict[str, Any] = {
            "messages": [
                message_row(turn, _content(turn, record.media), calls_as_text=True) for turn in messages
            ]
        }
        added, lost, carried = extras(record, row)
        if any(item.kind == "video" for item in record.media):
            lost.append("video for OpenAI itself (vLLM and XTuner read `video_url`)")
        return Written(row | added, tuple(lost), tuple(carried))

    def images(self, row: Row) -> str | list[str] | None:
        """All images are found by the slow path."""
        return None

    def signature(self, row: Row) -> Signature:
        """All turns, as JSON text."""
        return "", msgspec.json.encode(row.messages).decode(), "", ""


def _content(turn: Message, media: tuple[Media, ...]) -> Any:
    # As the API writes a turn that only calls or refuses.
    if not turn.content and (turn.calls or "refusal" in turn.extra):
        return None
    if not turn.media_indexes:
        return turn.text
    parts: list[dict[str, Any]] = []
    for part in turn.content:
        if isinstance(part, Text):
            parts.append({"type": "text", "text": part.text})
        else:
            item = media[part.index]
            parts.append({"type": f"{item.kind}_url", f"{item.kind}_url": {"url": item.uri, **item.extra}})
    return parts
