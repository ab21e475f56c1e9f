"""Whether an engine waits for its images: the feed with large pictures against the same questions without any.

    python -m benchmarks.images

The engine is a stand-in that answers four requests at a time, each in a fixed time; how it gets its images, and in
which order it is asked, is the product's code (`engines/workers.py`, `engines/pictures.py`, `feed.py`). The questions
about one picture lie far apart in the input, and the memory holds an eighth of the pictures. Printed: seconds of both
(their ratio is what counts), how often a picture was read, and how much faster two threads read than one.
"""

import argparse
import asyncio
import random
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.harness import Subject, compare
from pipelines.cli.options import EngineOptions
from pipelines.engines.base import Abilities, Reply, Request
from pipelines.engines.pictures import Pictures
from pipelines.engines.workers import WorkerEngine
from pipelines.feed import feed
from prefdata.images import load_rgb

_SIZE = (1600, 1200)
_AT_ONCE = 4


class Fixed(WorkerEngine):
    """Answers in `seconds`, whatever the question."""

    name = "fixed"

    def __init__(self, threads: int, seconds: float, most_bytes: int) -> None:
        super().__init__(EngineOptions(checkpoint="demo", batch_size=_AT_ONCE, num_workers=threads))
        self.seconds = seconds
        self._pictures = Pictures(threads, most_bytes)

    @property
    def read(self) -> int:
        """Images read so far."""
        return self._pictures.read

    async def start(self) -> Abilities:
        raise NotImplementedError

    def rendered(self, request: Request) -> str:
        raise NotImplementedError

    async def close(self) -> None:
        self._pictures.close()

    async def _answer(self, request: Request, images: list[Any]) -> Reply:
        await asyncio.sleep(self.seconds)
        return Reply(id=request.id)


def questions(folder: Path, pictures: int, each: int) -> list[Request]:
    """`each` questions about each of the pictures, in an order that is the same every time."""
    rng = random.Random(0)
    for number in range(pictures):
        small = Image.frombytes("RGB", (80, 60), rng.randbytes(80 * 60 * 3))
        small.resize(_SIZE).save(folder / f"{number}.jpg", quality=90)
    asked = [
        Request(id=f"{number}-{one}", messages=(), images=(folder / f"{number}.jpg",))
        for one in range(each)
        for number in range(pictures)
    ]
    return rng.sample(asked, len(asked))


def answer(arguments: argparse.Namespace, most_bytes: int, requests: Sequence[Request]) -> int:
    """Ask everything; returns how many pictures were read."""

    async def work() -> int:
        engine = Fixed(arguments.threads, arguments.seconds, most_bytes)
        left = {request.key for request in requests}
        await feed(engine, requests, left.__contains__, lambda request, _: left.discard(request.key))
        await engine.close()
        return engine.read

    return asyncio.run(work())


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--pictures", type=int, default=48)
    parser.add_argument("--each", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    most = arguments.pictures * _SIZE[0] * _SIZE[1] * 3 // 8
    with tempfile.TemporaryDirectory(prefix="prefdata-images-") as folder:
        asked = questions(Path(folder), arguments.pictures, arguments.each)
        bare = [Request(id=request.id, messages=()) for request in asked]
        reads: list[int] = []
        found = compare(
            Subject.call("with pictures", lambda: reads.append(answer(arguments, most, asked)), ["pillow"]),
            Subject.call("without", lambda: answer(arguments, most, bare)),
            rounds=arguments.rounds,
            warm_up=0,
        )
        print(found.text())
        found.write("images")
        print(f"{len(asked)} questions about {arguments.pictures} pictures; read in each round: {reads}")
        paths = [Path(folder) / f"{number}.jpg" for number in range(arguments.pictures)]
        for threads in (1, 2):
            began = time.perf_counter()
            with ThreadPoolExecutor(threads) as pool:
                list(pool.map(load_rgb, paths))
            print(f"{threads} threads: {len(paths) / (time.perf_counter() - began):.1f} pictures/s")


if __name__ == "__main__":
    main()
