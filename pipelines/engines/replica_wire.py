"""What travels between a run and the copies of its engine: msgpack behind its length.

Where it stands: `replica_copy.py` sends `Hello` once and `Ask` many times, and `replica.py` says
`Ready`, `Answer` and `Broken`.
"""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from pipelines.cli.options import EngineOptions
from pipelines.engines.base import Abilities, Reply, Request, Sampling
from prefdata.records import Message

T = TypeVar("T")

_LENGTH_BYTES = 8


class Hello(msgspec.Struct, frozen=True, kw_only=True):
    """Which engine to start. level: of the lines that it may write to standard error."""

    options: EngineOptions
    level: int


class Sent(msgspec.Struct, frozen=True, kw_only=True):
    """A request. images: (is a path, bytes), because a path need not be text."""

    id: str
    messages: tuple[Message, ...]
    prefix: str
    n: int
    first: int
    sampling: Sampling
    seed: int | None
    images: list[tuple[bool, bytes]]


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """A group to answer."""

    number: int
    batch: list[Sent]


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The engine has started."""

    abilities: Abilities


class Answer(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The replies to a group."""

    number: int
    replies: list[Reply]


class Broken(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The engine cannot start or go on; the last message of a copy. again: another start may go on."""

    reason: str
    exit_code: int
    again: bool


HELLO = msgspec.msgpack.Decoder(Hello)
ASK = msgspec.msgpack.Decoder(Ask)
SAID = msgspec.msgpack.Decoder(Ready | Answer | Broken)


def packed(batch: Sequence[Request]) -> list[Sent]:
    """Requests as they travel."""
    plain = [name for name in Request.__struct_fields__ if name != "images"]
    return [
        Sent(
            **{name: getattr(request, name) for name in plain},
            images=[
                (True, os.fsencode(image)) if isinstance(image, Path) else (False, image)
                for image in request.images
            ],
        )
        for request in batch
    ]


def unpacked(batch: Sequence[Sent]) -> list[Request]:
    """The requests that were packed."""
    plain = [name for name in Sent.__struct_fields__ if name != "images"]
    return [
        Request(
            **{name: getattr(sent, name) for name in plain},
            images=tuple(Path(os.fsdecode(data)) if is_path else data for is_path, data in sent.images),
        )
        for sent in batch
    ]


async def receive(stream: asyncio.StreamReader, decoder: "msgspec.msgpack.Decoder[T]") -> T | None:
    """The next message; None where the other side has ended, be it within a message."""
    try:
        length = int.from_bytes(await stream.readexactly(_LENGTH_BYTES), "little")
        return decoder.decode(await stream.readexactly(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None


async def send(stream: asyncio.StreamWriter, message: msgspec.Struct) -> None:
    """Send a message whole. Raises ConnectionError where nobody reads any more."""
    put(stream, message)
    await stream.drain()


def put(stream: asyncio.StreamWriter, message: msgspec.Struct) -> None:
    """Give a message to the connection, which sends it when the other side takes it."""
    data = msgspec.msgpack.encode(message)
    stream.write(len(data).to_bytes(_LENGTH_BYTES, "little") + data)
