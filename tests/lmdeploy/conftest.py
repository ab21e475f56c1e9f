"""LMDeploy's own classes down to the line where a GPU is needed, and a scripted core below it.

`Core` stands in for LMDeploy's inference engine (`lmdeploy.pytorch.engine.Engine`), which runs on GPUs alone. What is
above it is LMDeploy's: `pipeline`, its loop in a thread, sessions, chat templates, vision preprocessing, detokenising.
"""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.options import EngineOptions
from pipelines.engines import make_engine
from pipelines.engines.base import Abilities, Engine, Reply, Request


@dataclasses.dataclass
class Asked:
    """What reached the core in one request, and how many others had started before it."""

    input_ids: list[int]
    settings: Any
    multimodal: list[dict[str, Any]] | None
    before: int


class Core:
    """Answers with the token ids that `answer` gives; an empty list means the status alone."""

    def __init__(self, config: Any, arguments: dict[str, Any]) -> None:
        config.max_batch_size = config.max_batch_size or 8
        self.engine_config = config
        self.arguments = arguments
        self.asked: list[Asked] = []
        self.first_tokens = 0
        self.cancelled = 0
        self.closed = False
        self.answer: Callable[[Asked], tuple[list[int], str]] = lambda asked: ([], "FINISH")
        self.hold: asyncio.Event | None = None

    def create_instance(self) -> "Handle":
        return Handle(self)

    def start_loop(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class Handle:
    """One of the core's request handles, with the signature of LMDeploy's engine instances."""

    def __init__(self, core: Core) -> None:
        self.core = core

    async def async_stream_infer(
        self,
        session_id: int,
        input_ids: list[int],
        gen_config: Any = None,
        multimodal: Any = None,
        adapter_name: str | None = None,
        stream_output: bool = True,
        **_: Any,
    ) -> AsyncIterator[Any]:
        from lmdeploy.messages import EngineOutput, ResponseType

        asked = Asked(list(input_ids), gen_config, multimodal, self.core.first_tokens)
        self.core.asked.append(asked)
        if self.core.hold is not None:
            await self.core.hold.wait()
        ids, status = self.core.answer(asked)
        await asyncio.sleep(0.01)
        self.core.first_tokens += 1
        if stream_output:
            for one in ids[:-1]:
                yield EngineOutput(ResponseType.SUCCESS, [one])
                await asyncio.sleep(0)
            ids = ids[-1:]
        yield EngineOutput(ResponseType[status], ids)

    async def async_cancel(self, session_id: int) -> None:
        self.core.cancelled += 1


class Running:
    """An engine, the event loop it lives in, and the core below it."""

    def __init__(self, engine: Engine, core: Core, abilities: Abilities, runner: asyncio.Runner) -> None:
        self.engine, self.core, self.abilities, self.runner = engine, core, abilities, runner

    def ask(self, *requests: Request) -> list[Reply]:
        """All requests at once, each in a call of its own, as the feed asks."""

        async def all_at_once() -> list[Reply]:
            replies = await asyncio.gather(*(self.engine.generate([request]) for request in requests))
            return [reply for (reply,) in replies]

        return self.runner.run(all_at_once())


@pytest.fixture(scope="module")
def start() -> Iterator[Callable[..., Running]]:
    """`start(model, **options)` gives a running engine on a scripted core; all end with the module."""
    from lmdeploy.serve.core import AsyncEngine

    cores: list[Core] = []

    def build(self: Any, model_path: str, backend_config: Any = None, **arguments: Any) -> Core:
        cores.append(Core(backend_config, arguments))
        return cores[-1]

    started: list[Running] = []
    with pytest.MonkeyPatch.context() as patch, asyncio.Runner() as runner:
        patch.setattr(AsyncEngine, "_build_pytorch", build)

        def make(model: Path | str, **options: object) -> Running:
            settings: dict[str, Any] = {"engine": "lmdeploy", "engine_arg": ("backend=pytorch",), **options}
            engine = make_engine(EngineOptions(checkpoint=str(model), **settings))
            abilities = runner.run(engine.start())
            started.append(Running(engine, cores[-1], abilities, runner))
            return started[-1]

        yield make
        for running in started:
            runner.run(running.engine.close())
            assert running.core.closed
