"""Keeps an engine busy and hands over its replies, so that interruptions leave no trace in the result.

Engines with a static batch get the same groups on every run: groups are cut from everything *asked*, not from what
is still owed, and a row with nothing to ask leaves its place empty, so that a shard has the groups of the whole run.
A group with nothing owed is skipped; one with something owed is asked whole and only what is owed is handled. Asking a
few finished requests again costs less than results that hang on when a run was killed.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import TypeVar

from pipelines.engines.base import Engine, Reply, Request

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
    in_flight: int,
) -> None:
    """Ask `engine` everything that is owed; `handle` sees each owed reply once, in the order of arrival.

    requests: one per row, None where a row has nothing to ask; its place in the group stays empty.
    in_flight: most requests at once for an engine that schedules by itself (`batch_size` 1).
    """
    if engine.batch_size > 1:
        for start in range(0, len(requests), engine.batch_size):
            group = [
                request for request in requests[start : start + engine.batch_size] if request is not None
            ]
            if any(owed(request.id) for request in group):
                for request, reply in zip(group, await engine.generate(group), strict=True):
                    if owed(request.id):
                        handle(request, reply)
        return

    todo = iter([request for request in requests if request is not None and owed(request.id)])

    async def worker() -> None:
        for request in todo:
            (reply,) = await engine.generate([request])
            handle(request, reply)

    # The first failure cancels the other workers: nobody goes on asking for a run that cannot be written.
    try:
        async with asyncio.TaskGroup() as group_of_tasks:
            for _ in range(max(1, in_flight)):
                group_of_tasks.create_task(worker())
    except ExceptionGroup as failed:
        raise failed.exceptions[0] from failed
