"""What travels between the `openai` engine and a server: messages and images there, completions back.

The decision to question: every image is decoded here before it is sent. It costs milliseconds, and a broken file then
fails its own row with the reason instead of a server's 500, which would be tried again and again.
"""

import base64
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec

from pipelines.engines.base import FinishReason, Request, Sample
from pipelines.engines.openai_client import Failed
from prefdata.errors import PrefdataError
from prefdata.records import MediaRef, Message

_FINISHED: Final[dict[str, FinishReason]] = {"stop": "stop", "length": "length"}
# Types that every server reads; others travel as PNG.
_WEB_TYPES: Final = ("PNG", "JPEG", "WEBP")
_ORIENTATION: Final = 0x0112


class Answer(msgspec.Struct):
    """The message of one choice."""

    content: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None


class Choice(msgspec.Struct):
    """One of the n answers."""

    message: Answer
    finish_reason: str | None = None


class Usage(msgspec.Struct):
    """Tokens as the server counts them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class Completion(msgspec.Struct):
    """What /chat/completions answers."""

    choices: list[Choice]
    usage: Usage | None = None


class Model(msgspec.Struct):
    """An entry of /models."""

    id: str


class Models(msgspec.Struct):
    """What /models answers."""

    data: list[Model] = []


class Tokens(msgspec.Struct):
    """What vLLM's /tokenize answers."""

    tokens: list[int]


class Prompt(msgspec.Struct):
    """What vLLM's /detokenize answers."""

    prompt: str


def sample_of(choice: Choice, seed: int | None) -> Sample:
    """The sample in a choice. Raises Failed where it is not the whole answer."""
    message = choice.message
    if message.reasoning or message.reasoning_content:
        raise Failed("the server splits the reasoning off the answer; start it without a reasoning parser")
    if message.content is None:
        raise Failed("the server gave no text")
    finished = _FINISHED.get(choice.finish_reason or "")
    if finished is None:
        raise Failed(f"the server ended an answer with {choice.finish_reason!r}")
    return Sample(text=message.content, token_ids=(), finish_reason=finished, seed=seed)


def messages_of(request: Request, addresses: Sequence[str]) -> list[dict[str, Any]]:
    """The request's turns without its prefix; images go by their addresses (`address_of`)."""
    images = [{"type": "image_url", "image_url": {"url": address}} for address in addresses]
    placed = sum(len(turn.media_indexes) for turn in request.messages)
    if placed != len(images):
        raise PrefdataError(f"{len(images)} images are given but {placed} have a place in the prompt.")
    return [_turn(turn, images) for turn in request.messages]


def address_of(source: Path | bytes, form: str, root: Path | None) -> str:
    """How an image is sent. Raises PrefdataError where it cannot be.

    form: `data` (data URIs), `path` (file:// URIs), or the address under which the files of `root` lie.
    """
    if form == "data" or isinstance(source, bytes):
        return _data_uri(source)
    if form == "path" or root is None:
        return source.absolute().as_uri()
    return form.rstrip("/") + "/" + quote(source.absolute().relative_to(root.absolute()).as_posix())


def shown(request: Request) -> str:
    """The turns for a reader, images as `<image>`."""
    turns = [
        f"{turn.role}: "
        + "".join("<image>" if isinstance(part, MediaRef) else part.text for part in turn.content)
        for turn in request.messages
    ]
    begun = [f"assistant, to be continued: {request.prefix}"] if request.prefix else []
    return "\n".join([*turns, *begun])


def _turn(turn: Message, images: Sequence[dict[str, Any]]) -> dict[str, Any]:
    if not turn.media_indexes:
        return {"role": turn.role, "content": turn.text}
    parts = [
        images[part.index] if isinstance(part, MediaRef) else {"type": "text", "text": part.text}
        for part in turn.content
    ]
    return {"role": turn.role, "content": parts}


def _data_uri(source: Path | bytes) -> str:
    from PIL import Image

    from prefdata.images import load_rgb

    picture = load_rgb(source)
    data = source if isinstance(source, bytes) else source.read_bytes()
    with Image.open(io.BytesIO(data)) as opened:
        kind = opened.format or ""
        # Turned, transparent or animated pictures are read differently by different servers.
        plain = opened.mode == "RGB" and opened.getexif().get(_ORIENTATION, 1) == 1
        plain = plain and getattr(opened, "n_frames", 1) == 1
    if kind not in _WEB_TYPES or not plain:
        stream = io.BytesIO()
        picture.save(stream, "PNG")
        kind, data = "PNG", stream.getvalue()
    return f"data:image/{kind.lower()};base64,{base64.b64encode(data).decode()}"
