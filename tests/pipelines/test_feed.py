"""What is asked of an engine, in which groups."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from pipelines.engines.base import Engine, Reply, Request
from pipelines.feed import by_image, feed, shard
from prefdata.errors import PrefdataError


def run(
    owed: set[str], batch_size: int, in_flight: int = 4, empty: int | None = None
) -> tuple[list[list[str]], list[str], int]:
    asked: list[list[str]] = []
    handled: list[str] = []
    running, most = 0, 0

    async def generate(batch: Sequence[Request]) -> list[Reply]:
        nonlocal running, most
        running += 1
        most = max(most, running)
        asked.append([request.id for request in batch])
        await asyncio.sleep(0.001)
        running -= 1
        return [Reply(id=request.id) for request in batch]

    calls = in_flight if batch_size == 1 else 1
    engine = cast(Engine, SimpleNamespace(generate=generate, batch_size=batch_size, calls=calls))
    requests = [None if number == empty else Request(id=str(number), messages=()) for number in range(10)]

    def handle(request: Request, reply: Reply) -> None:
        handled.append(reply.id)
        owed.discard(reply.id)

    asyncio.run(feed(engine, requests, lambda name: name in owed, handle))
    return asked, handled, most


def test_groups_are_cut_from_what_is_asked_not_from_what_is_owed() -> None:
    asked, handled, _ = run({"1", "8"}, batch_size=4)
    assert asked == [["0", "1", "2", "3"], ["8", "9"]]
    assert handled == ["1", "8"]


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_row_with_nothing_to_ask_keeps_its_place_empty(batch_size: int) -> None:
    asked, handled, _ = run({str(number) for number in range(10)}, batch_size, empty=2)
    assert handled == [str(number) for number in range(10) if number != 2]
    if batch_size == 4:
        assert asked == [["0", "1", "3"], ["4", "5", "6", "7"], ["8", "9"]]


def test_single_requests_only_what_is_owed_and_bounded() -> None:
    asked, handled, most = run({str(number) for number in range(9)}, batch_size=1)
    assert sorted(handled) == [str(number) for number in range(9)]
    assert len(asked) == 9
    assert most == 4


def test_the_first_failure_ends_the_feed() -> None:
    async def generate(batch: Sequence[Request]) -> list[Reply]:
        raise OSError("gone")

    engine: Any = SimpleNamespace(generate=generate, batch_size=1, calls=2)
    requests = [Request(id=str(number), messages=()) for number in range(3)]
    with pytest.raises(OSError, match="gone"):
        asyncio.run(feed(engine, requests, lambda _: True, lambda *_: None))


@pytest.mark.parametrize("count", [1, 2, 3, 8, 64])
def test_shards_hold_everything_once_in_whole_groups(count: int) -> None:
    rows = list(range(103))
    parts = [shard(rows, index, count, 4) for index in range(count)]
    assert [row for part in parts for row in part] == rows
    assert all(part[0] % 4 == 0 for part in parts if part)


def test_questions_about_one_image_come_one_after_the_other() -> None:
    images: list[tuple[Path | bytes, ...]] = [
        (Path("a"),),
        (),
        (b"x",),
        (Path("a"), Path("b")),
        (Path("a"),),
        (),
        (b"x",),
    ]
    requests: list[Request | None] = [
        Request(id=str(number), messages=(), images=named) for number, named in enumerate(images)
    ]
    ordered = by_image([*requests, None])
    assert [request and request.id for request in ordered] == ["0", "4", "1", "2", "6", "3", "5", None]


class Hanging:
    """An engine that hangs at some requests, each as often as said, and counts its restarts."""

    def __init__(self, hangs: dict[str, int], batch_size: int) -> None:
        self.hangs, self.batch_size = hangs, batch_size
        self.calls = 2 if batch_size == 1 else 1
        self.asked: list[str] = []
        self.starts = self.closes = 0

    async def start(self) -> None:
        self.starts += 1

    async def close(self) -> None:
        self.closes += 1

    async def generate(self, batch: Sequence[Request]) -> list[Reply]:
        self.asked += [request.id for request in batch]
        for request in batch:
            if self.hangs.get(request.id, 0) > 0:
                self.hangs[request.id] -= 1
                await asyncio.Event().wait()
        return [Reply(id=request.id, error="no" if request.id == "3" else None) for request in batch]


def watched(engine: Hanging) -> list[str]:
    handled: list[str] = []
    done: set[str] = set()

    def handle(request: Request, reply: Reply) -> None:
        handled.append(request.id)
        if reply.failure is None:
            done.add(request.id)

    asyncio.run(
        feed(
            cast(Engine, engine),
            [Request(id=str(number), messages=()) for number in range(10)],
            lambda name: name not in done,
            handle,
            stall_timeout=0.1,
        )
    )
    return handled


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_stalled_engine_is_restarted_and_only_what_is_owed_is_asked_again(batch_size: int) -> None:
    engine = Hanging({"5": 1, "8": 1}, batch_size)
    handled = watched(engine)
    assert sorted(handled) == [str(number) for number in range(10)], "what failed is handled once, too"
    assert engine.starts == engine.closes >= 1
    again = {name for name in engine.asked if engine.asked.count(name) > 1}
    assert again == ({"4", "5", "6", "7", "8", "9"} if batch_size == 4 else {"5", "8"})


@pytest.mark.parametrize("batch_size", [1, 4])
def test_a_second_stall_at_the_same_place_ends_the_feed(batch_size: int) -> None:
    engine = Hanging({"5": 9}, batch_size)
    with pytest.raises(PrefdataError, match=r"hangs again at the same requests .*5") as ended:
        watched(engine)
    assert ended.value.exit_code == 1
    assert engine.starts == 1


def test_a_working_engine_is_left_alone() -> None:
    engine = Hanging({}, 1)
    watched(engine)
    assert engine.starts == 0
