"""A running vLLM engine for tests: started once per module, because a start takes 10 s and more."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipelines.cli.options import EngineOptions
from pipelines.engines import make_engine
from pipelines.engines.base import Abilities, Engine, Reply, Request


class Running:
    """An engine and the event loop it lives in."""

    def __init__(self, engine: Engine, abilities: Abilities, runner: asyncio.Runner) -> None:
        self.engine, self.abilities, self._runner = engine, abilities, runner

    def ask(self, *requests: Request) -> list[Reply]:
        """All requests at once, each in a call of its own, as the feed asks."""

        async def all_at_once() -> list[Reply]:
            replies = await asyncio.gather(*(self.engine.generate([request]) for request in requests))
            return [reply for (reply,) in replies]

        return self._runner.run(all_at_once())


def counted(name: str) -> float:
    """What vLLM's counter `name` of all engines of this process stands at."""
    from prometheus_client import REGISTRY

    samples = [sample for metric in REGISTRY.collect() for sample in metric.samples]
    return float(sum(sample.value for sample in samples if sample.name == f"vllm:{name}_total"))


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Running]]:
    """`start(model, **options)` gives a running engine; all end with the module."""
    started: list[Running] = []
    with asyncio.Runner() as runner:

        def make(model: Path | str, **options: object) -> Running:
            settings = {"engine": "vllm", "session_len": 1024, **options}
            engine = make_engine(EngineOptions(checkpoint=str(model), **settings))  # type: ignore[arg-type]
            running = Running(engine, runner.run(engine.start()), runner)
            started.append(running)
            return running

        yield make
        for running in started:
            runner.run(running.engine.close())
