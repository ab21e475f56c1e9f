"""Images of requests: read once, ahead, in bounded memory, and a bad one fails its own request alone."""

import asyncio
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.engines.base import Request
from pipelines.engines.pictures import Pictures
from prefdata.errors import PrefdataError

SIDE = 32
BYTES = SIDE * SIDE * 3


class Reader:
    """Stands for a slow disk: every image takes `seconds` and 100 bytes; counts what is read."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds, self.read, self.most = seconds, Counter[str](), 0
        self._lock, self._now = threading.Lock(), 0

    def __call__(self, source: Path | bytes) -> tuple[Any, int]:
        name = str(source) if isinstance(source, Path) else source.decode()
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            self.read[name] += 1
        time.sleep(self.seconds)
        with self._lock:
            self._now -= 1
        if name == "bad":
            raise PrefdataError("bad: cannot be decoded.")
        return f"pixels of {name}", 100


def request(*names: str) -> Request:
    return Request(id="+".join(names), messages=(), images=tuple(map(Path, names)))


def test_pixels_of_files_and_bytes(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (SIDE, SIDE), "red").save(path)

    async def work() -> None:
        pictures = Pictures(2)
        asked = [
            Request(id="file", messages=(), images=(path, path)),
            Request(id="bytes", messages=(), images=(path.read_bytes(),)),
            Request(id="missing", messages=(), images=(path, tmp_path / "no.png")),
            Request(id="none", messages=()),
        ]
        async with pictures.of(asked) as (file, data, missing, none):
            assert not isinstance(file, PrefdataError)
            assert not isinstance(data, PrefdataError)
            assert [image.getpixel((0, 0)) for image in (*file, *data)] == [(255, 0, 0)] * 3
            assert "no.png: no such image" in str(missing)
            assert none == []
            assert (pictures.read, pictures.held) == (
                3,
                2 * BYTES,
            )  # the file once, the bytes once, the missing one
        pictures.close()

    asyncio.run(work())


def test_neighbours_share_what_is_read_and_a_bad_image_fails_alone() -> None:
    reader = Reader(0.01)
    answers: dict[str, Any] = {}

    async def work() -> None:
        pictures = Pictures(4, read=reader)

        async def ask(number: int, *names: str) -> None:
            async with pictures.of([request(*names)]) as (found,):
                answers[f"{number} {names}"] = str(found) if isinstance(found, PrefdataError) else found

        rows = [(f"{number // 4}",) for number in range(40)] + [("0", "bad"), ("9", "8")]
        await asyncio.gather(*(ask(number, *names) for number, names in enumerate(rows)))

    asyncio.run(work())
    assert set(reader.read.values()) == {1}, "no image is read twice"
    assert 1 < reader.most <= 4, "they are read side by side, by as many threads as were asked for"
    assert answers["40 ('0', 'bad')"] == "bad: cannot be decoded."
    assert answers["41 ('9', '8')"] == ["pixels of 9", "pixels of 8"]
    assert sum(isinstance(found, list) for found in answers.values()) == 41


def test_a_slow_engine_holds_back_the_readers() -> None:
    reader = Reader()
    most = 0

    async def work() -> None:
        nonlocal most
        pictures = Pictures(2, most_bytes=500, read=reader)
        engine = asyncio.Semaphore(1)

        async def ask(name: str) -> None:
            nonlocal most
            async with pictures.of([request(name, name + "b")]), engine:
                await asyncio.sleep(0.002)
                most = max(most, pictures.held)

        await asyncio.gather(*(ask(f"{number}") for number in range(60)))

    asyncio.run(work())
    assert sum(reader.read.values()) == 120
    # Five images fit; four may be on their way, and one request has two.
    assert most <= 500 + 4 * 100 + 2 * 100


def test_what_was_lately_used_stays_while_there_is_room() -> None:
    reader = Reader()

    async def work() -> None:
        pictures = Pictures(1, most_bytes=300, read=reader)
        for name in ("a", "b", "c", "a", "d", "a", "b"):
            async with pictures.of([request(name)]):
                pass
        assert pictures.held <= 300

    asyncio.run(work())
    assert reader.read == {"a": 1, "b": 2, "c": 1, "d": 1}


def test_a_request_larger_than_all_the_room_is_answered() -> None:
    async def work() -> None:
        pictures = Pictures(1, most_bytes=150, read=Reader())
        names = [str(number) for number in range(9)]
        async with pictures.of([request(*names)]) as (found,):
            assert found == [f"pixels of {name}" for name in names]
        async with pictures.of([request("next")]) as (found,):
            assert found == ["pixels of next"]
            assert pictures.held <= 150

    asyncio.run(work())


def test_a_cancelled_request_takes_nothing_from_others() -> None:
    async def work() -> None:
        pictures = Pictures(1, read=Reader(0.05))

        async def ask() -> list[Any] | PrefdataError:
            async with pictures.of([request("a")]) as (found,):
                return found

        first, second = asyncio.create_task(ask()), asyncio.create_task(ask())
        await asyncio.sleep(0.01)
        first.cancel()
        assert await second == ["pixels of a"]
        with pytest.raises(asyncio.CancelledError):
            await first

    asyncio.run(work())


def test_many_images_that_are_kept_cost_a_request_nothing() -> None:
    async def work() -> None:
        pictures = Pictures(2, read=Reader())
        async with pictures.of([request(*map(str, range(5000)))]):
            pass
        began = time.process_time()
        for _ in range(100):
            async with pictures.of([request("7")]):
                pass
        assert time.process_time() - began < 0.3
        assert (pictures.held, pictures.read) == (500_000, 5000)

    asyncio.run(work())
