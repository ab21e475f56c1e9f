"""What runs do around the feed: rows that cannot be asked, the probe before, the engine's end, who made the samples."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from pipelines.engines.base import Abilities, Engine, Reply, Request
from pipelines.feed import feed
from pipelines.probe import probe
from pipelines.rundir import RunDir


class Row(Protocol):
    """A row to ask, or `problem`, why it cannot be."""

    @property
    def id(self) -> str: ...
    @property
    def row(self) -> dict[str, Any]: ...
    @property
    def problem(self) -> str | None: ...


def fail_unaskable(run: RunDir, asked: Sequence[Row]) -> None:
    """Note the rows that cannot be asked as failed; they stay owed."""
    for one in asked:
        if one.problem is not None and run.owed(one.id):
            run.fail(one.id, one.row, one.problem)


def made_by(engine: Engine, model: str, abilities: Abilities) -> dict[str, str]:
    """What samples name as their maker."""
    return {
        "engine": engine.name,
        "model": model,
        "model_hash": abilities.model_hash,
        "template_hash": abilities.template_hash,
    }


async def ask_and_close(
    engine: Engine,
    abilities: Abilities,
    requests: Sequence[Request | None],
    owed: Callable[[str], bool],
    handle: Callable[[Request, Reply], None],
    *,
    prefix: bool,
    n: int,
    stall_timeout: float | None,
    follow: Callable[[Sequence[Request]], list[Request]],
) -> None:
    """Prove that a started engine can do what is wanted (`probe`), ask it (`feed`), and close it, whatever happens."""
    try:
        images = any(request.images for request in requests if request)
        await probe(engine, abilities, images=images, prefix=prefix, n=n)
        await feed(
            engine,
            requests,
            owed,
            handle,
            stall_timeout=stall_timeout,
            follow=follow,
        )
    finally:
        await engine.close()
