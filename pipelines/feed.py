"""Keeps an engine busy and hands over its replies, so that interruptions leave no trace in the result.

Engines with a static batch get the same groups on every run: groups are cut from everything *asked*, not from what
is still owed, and a row with nothing to ask leaves its place empty, so that a shard has the groups of the whole run.
A group with nothing owed is skipped; one with something owed is asked whole and only what is owed is handled. Asking a
few finished requests again costs less than results that hang on when a run was killed.

Engines that schedule by themselves are asked about one image after the other: what they keep of an image and of a
prompt is then still there for the next question about it. The groups of the others stay as they are.

Rows that are asked in rounds: `follow` names what a group asks next, from the replies that were handled. Each group
goes through its rounds alone, so no row waits for the rounds of others.
"""

import asyncio
import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from pipelines.engines.base import Engine, Reply, Request, WatchesItself
from pipelines.engines.pictures import key_of
from pipelines.watchdog import Stalled, Watchdog

T = TypeVar("T")


def shard(rows: Sequence[T], index: int, count: int, group: int) -> list[T]:
    """Part `index` of `count`: contiguous, cut between groups of `group` rows.

    Whole groups, so that an engine with static batches does the same arithmetic in a shard as in one run.
    """
    groups = -(-len(rows) // group)
    return list(rows[groups * index // count * group : groups * (index + 1) // count * group])


async def feed(
    engine: Engine,
    requests: Sequence[Request | None],
    owed: Callable[[str], bool],
    handle: Callable[[Request, Reply], None],
    *,
    stall_timeout: float | None = None,
    follow: Callable[[Sequence[Request]], list[Request]] = lambda _: [],
) -> None:
    """Ask `engine` everything that is owed; `handle` sees each owed reply once, in the order of arrival.

    requests: one per row, None where a row has nothing to ask; its place in the group stays empty.
    owed: by a request's `key`. follow: the next round of a group that was asked (`[]`: there is none); it hangs on what
    was answered alone, because after a restart the rounds of every group are gone through again.
    stall_timeout: seconds without any reply after which the engine is restarted; None waits for ever. An engine that
    watches itself is left to it.
    """
    groups = _groups(requests if engine.batch_size > 1 else by_image(requests), engine.batch_size)
    failed: set[str] = set()

    def todo() -> Iterator[Iterator[list[Request]]]:
        """The rounds of each group."""
        return map(rounds, groups)

    def rounds(group: list[Request]) -> Iterator[list[Request]]:
        """Those with something owed that this feed has not already seen fail."""
        while group:
            if any(owed(request.key) and request.key not in failed for request in group):
                yield group
            group = follow(group)

    def done(group: list[Request], replies: list[Reply]) -> None:
        for request, reply in zip(group, replies, strict=True):
            if owed(request.key):
                if reply.failure is not None:
                    failed.add(request.key)
                handle(request, reply)

    if stall_timeout is None or isinstance(engine, WatchesItself):
        await _ask(engine, todo(), done, None)
        return
    with Watchdog(stall_timeout) as dog:
        while True:
            try:
                await _ask(engine, todo(), done, dog)
                return
            except Stalled:
                await engine.close()
                dog.pause()
                await engine.start()
                dog.resume()


def by_image(requests: Sequence[Request | None]) -> list[Request | None]:
    """The requests in their order, but those of the same images behind the first of these."""
    alike: dict[object, list[Request | None]] = {}
    for number, request in enumerate(requests):
        images = tuple(map(key_of, request.images)) if request is not None else ()
        alike.setdefault(images or number, []).append(request)
    return [request for group in alike.values() for request in group]


def _groups(requests: Sequence[Request | None], size: int) -> list[list[Request]]:
    cut = [requests[start : start + size] for start in range(0, len(requests), size)]
    return [[request for request in group if request is not None] for group in cut]


async def _ask(
    engine: Engine,
    groups: Iterator[Iterator[list[Request]]],
    done: Callable[[list[Request], list[Reply]], None],
    dog: Watchdog | None,
) -> None:
    """Ask groups, as many at a time as the engine takes, each one's rounds in turn.

    Raises Stalled where `dog` misses progress.
    """
    waiting: dict[int, list[Request]] = {}

    async def worker(number: int) -> None:
        for group in itertools.chain.from_iterable(groups):
            waiting[number] = group
            replies = await engine.generate(group)
            del waiting[number]
            done(group, replies)
            if dog is not None:
                dog.moved()

    async def watch() -> None:
        while dog is not None:
            if (left := dog.left) > 0:
                await asyncio.sleep(left)
            else:
                dog.stalled(request.key for group in waiting.values() for request in group)
                raise Stalled

    # The first failure cancels the other workers: nobody goes on asking for a run that cannot be written.
    try:
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(watch())
            working = [tasks.create_task(worker(number)) for number in range(engine.calls)]
            await asyncio.wait(working)
            watching.cancel()
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
