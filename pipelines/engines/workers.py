"""What vLLM and LMDeploy have in common here: they batch by themselves, in processes of their own.

Where it stands: `vllm.py` and `lmdeploy.py` are such engines; each says how it starts, closes and answers one request.
"""

import asyncio
import subprocess
from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipelines.engines.one_by_one import OneByOne
from pipelines.engines.orphans import release
from pipelines.engines.pictures import Pictures
from pipelines.engines.rendering import Renderer, load_renderer
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.models import resolve_model

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

# A terminal's Ctrl-C reaches the workers too; their end may be noticed before the signal is.
_CTRL_C_SECONDS = 1.0


class WorkerEngine(OneByOne):
    """A model, its prompt renderer, and the guard of its workers."""

    def __init__(self, options: "EngineOptions") -> None:
        super().__init__(options, Pictures(options.num_workers))
        self._model = resolve_model(options.checkpoint)
        self._guard: subprocess.Popen[bytes] | None = None
        self._renderer: Renderer | None = None

    @property
    def renderer(self) -> Renderer:
        """The prompt renderer; loaded by `start`."""
        if self._renderer is None:
            self._renderer = load_renderer(self._model, trust_remote_code=self._options.trust_remote_code)
        return self._renderer

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text by the model's own tokenizer."""
        return self.renderer.encode(text)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids."""
        return self.renderer.decode(token_ids)

    @abstractmethod
    async def close(self) -> None:
        """Stop the workers and wait for their end."""

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
