"""Images of the requests that are under way: each read once, ahead of the engine, and in bounded memory.

Where it stands: an engine has one `Pictures`. The feed has more calls under way than the engine works on, and those
wait here for their images. Rows of one image come one after the other (`feed.py`), so an image that somebody waits
for, uses or lately used is not read again. The decision to question: threads, not processes. Pillow decodes without
holding the interpreter's lock, and pixels need not be copied from one process to another.

Memory: a request starts to read when the images of those before it take less than `most_bytes`; what nobody uses
any more goes first. More than that is held only by what is being read at that moment (twice `workers` images), and
by a request that is larger by itself.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import xxhash

from pipelines.engines.base import Request
from prefdata.errors import PrefdataError
from prefdata.progress import log

_MOST_BYTES = 2 << 30
# Of the machine's memory, where that is small.
_SHARE = 8

Key = Path | str


class _Image:
    """An image that is being read or was; `users` requests need it."""

    reading: "asyncio.Task[None]"

    def __init__(self, key: Key) -> None:
        self.key = key
        self.users = self.size = 0
        self.found: Any | PrefdataError = None


class Pictures:
    """What requests need of their images: pixels, or whatever `read` makes of a file and of how many bytes."""

    def __init__(
        self,
        workers: int,
        most_bytes: int | None = None,
        read: Callable[[Path | bytes], tuple[Any, int]] | None = None,
    ) -> None:
        self._workers = workers
        self._most = most_bytes if most_bytes is not None else _most_bytes()
        self._read = read or _pixels
        self._pool: ThreadPoolExecutor | None = None
        self._all: dict[Key, _Image] = {}
        self._unused: OrderedDict[Key, _Image] = OrderedDict()  # of all, the least recently used first
        # Bytes of all and of those in use, and how many are being read: kept, because every request asks for them.
        self.held = self._used = self._reading = 0
        self._turn = asyncio.Lock()
        self._moved = asyncio.Event()
        self.wanted = self.read = 0

    @asynccontextmanager
    async def of(self, batch: Sequence[Request]) -> AsyncIterator[list[list[Any] | PrefdataError]]:
        """For each request its images in their order, or why they cannot be had; kept until the block ends."""
        keys = [[key_of(image) for image in request.images] for request in batch]
        sources = {
            key: image
            for request, named in zip(batch, keys, strict=True)
            for key, image in zip(named, request.images, strict=True)
        }
        taken: list[_Image] = []
        try:
            if sources:
                # One after the other: requests that wait for room with half their images would wait for each other.
                async with self._turn:
                    while self._is_full:
                        self._moved.clear()
                        await self._moved.wait()
                    taken = [self._take(key, source) for key, source in sources.items()]
                self.wanted += sum(map(len, keys))
                # Waited for, not awaited: a request that is cancelled cancels no reading that others need.
                if unread := [one.reading for one in taken if one.found is None]:
                    await asyncio.wait(unread)
                for reading in unread:
                    reading.result()
            found = dict(zip(sources, taken, strict=True))
            yield [_whole([found[key].found for key in named]) for named in keys]
        finally:
            for one in taken:
                self._release(one)
            self._make_room()

    def close(self) -> None:
        """Forget all images; the next request begins anew."""
        if self.wanted:
            log.debug("images: %d needed by requests, %d read", self.wanted, self.read)
        for one in self._all.values():
            one.reading.cancel()
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        self._pool, self._all, self._unused, self._turn = None, {}, OrderedDict(), asyncio.Lock()
        self.held = self._used = self._reading = 0

    @property
    def _is_full(self) -> bool:
        return self._used >= self._most or self._reading >= 2 * self._workers

    def _take(self, key: Key, source: Path | bytes) -> _Image:
        one = self._all.get(key)
        if one is None:
            one = self._all[key] = _Image(key)
            one.reading = asyncio.create_task(self._fill(one, source))
            self.read += 1
            self._reading += 1
        if not one.users:
            self._unused.pop(key, None)
            self._used += one.size
        one.users += 1
        return one

    def _release(self, one: _Image) -> None:
        one.users -= 1
        if not one.users and self._all.get(one.key) is one:
            self._used -= one.size
            if one.found is not None:
                self._unused[one.key] = one

    async def _fill(self, one: _Image, source: Path | bytes) -> None:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="images")
        try:
            reading = asyncio.get_running_loop().run_in_executor(self._pool, self._read, source)
            found, size = await reading
        except (PrefdataError, OSError, ValueError) as error:
            one.found = error if isinstance(error, PrefdataError) else PrefdataError(f"{one.key}: {error}.")
            # Another row tries again: the file may have been mended.
            if self._all.get(one.key) is one:
                del self._all[one.key]
                self._reading -= 1
        else:
            one.found = found
            if self._all.get(one.key) is one:
                self._reading -= 1
                self._read_in(one, size)
        finally:
            self._make_room()

    def _read_in(self, one: _Image, size: int) -> None:
        one.size = size
        self.held += size
        if one.users:
            self._used += size
        else:
            self._unused[one.key] = one

    def _make_room(self) -> None:
        """Let go of what nobody uses, the oldest first, until there is room."""
        while self.held > self._most and self._unused:
            key, one = self._unused.popitem(last=False)
            del self._all[key]
            self.held -= one.size
        self._moved.set()


def key_of(image: Path | bytes) -> Key:
    """What says that two images are the same one: the path, or a hash of the bytes."""
    return image if isinstance(image, Path) else xxhash.xxh3_128_hexdigest(image)


def _whole(found: list[Any]) -> list[Any] | PrefdataError:
    return next((one for one in found if isinstance(one, PrefdataError)), found)


def _pixels(source: Path | bytes) -> tuple[Any, int]:
    from prefdata.images import load_rgb

    image = load_rgb(source)
    return image, image.width * image.height * len(image.getbands())


def _most_bytes() -> int:
    from pipelines.machine import memory

    return min(_MOST_BYTES, memory()[0] // _SHARE)
