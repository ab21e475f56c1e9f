"""What vLLM and LMDeploy have in common here: they batch by themselves, in processes of their own.

Where it stands: `vllm.py` and `lmdeploy.py` are such engines; each says how it starts, closes and answers one request.
"""

import asyncio
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.engines.base import Reply, Request
from pipelines.engines.orphans import release
from pipelines.engines.pictures import Pictures
from pipelines.engines.rendering import Renderer, load_renderer
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.models import resolve_model

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

# A terminal's Ctrl-C reaches the workers too; their end may be noticed before the signal is.
_CTRL_C_SECONDS = 1.0


class WorkerEngine(ABC):
    """A model, its prompt renderer, the images of its requests, and the guard of its workers."""

    batch_size = 1

    def __init__(self, options: "EngineOptions") -> None:
        self._options = options
        # Those that are one too many for the engine wait with their images read.
        self.calls = options.in_flight + options.num_workers
        self._in_flight = asyncio.Semaphore(options.in_flight)
        self._pictures = Pictures(options.num_workers)
        self._model = resolve_model(options.checkpoint)
        self._guard: subprocess.Popen[bytes] | None = None
        self._renderer: Renderer | None = None

    @property
    def renderer(self) -> Renderer:
        """The prompt renderer; loaded by `start`."""
        if self._renderer is None:
            self._renderer = load_renderer(self._model, trust_remote_code=self._options.trust_remote_code)
        return self._renderer

    async def generate(self, batch: Sequence[Request]) -> list[Reply]:
        """Ask each request of the batch; one that cannot be answered fails alone."""
        return list(await asyncio.gather(*map(self._with_images, batch)))

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text by the model's own tokenizer."""
        return self.renderer.encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self.renderer.decode(token_ids)

    @abstractmethod
    async def close(self) -> None:
        """Stop the workers and wait for their end."""

    @abstractmethod
    async def _answer(self, request: Request, images: list[Any]) -> Reply:
        """Ask one request with its images."""

    async def _with_images(self, request: Request) -> Reply:
        async with self._pictures.of([request]) as (images,):
            if isinstance(images, PrefdataError):
                return Reply(id=request.id, error=str(images).rstrip("."))
            async with self._in_flight:
                return await self._answer(request, images)

    async def _stop_if_cancelled(self) -> None:
        """Stopped while the model was loading: whoever called never got an engine to close."""
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await self.close()
            raise

    def _release_guard(self) -> None:
        if self._guard is not None:
            release(self._guard)
            self._guard = None


class Stopped(PrefdataError):
    """The workers of an engine have ended in the middle; another start may go on."""


async def stopped(program: str) -> Stopped:
    """The error of an engine that has ended, unless Ctrl-C ended it: then this wait is cancelled instead."""
    await asyncio.sleep(_CTRL_C_SECONDS)
    return Stopped(
        f"{program} stopped in the middle of the work, its reason stands above; finished work is kept, "
        "run the same command again to go on.",
        exit_code=EXIT_DATA,
    )
