"""What engines that schedule by themselves have in common here: requests go to them one by one, images read ahead.

Where it stands: `workers.py` (vLLM, LMDeploy) and `openai.py` are such engines; each says how one request is answered.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pipelines.engines.base import Reply, Request
from pipelines.engines.pictures import Pictures
from prefdata.errors import PrefdataError

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions


class OneByOne(ABC):
    """The images of the requests, and how many of them the engine works on at once."""

    batch_size = 1

    def __init__(self, options: "EngineOptions", pictures: Pictures) -> None:
        self._options = options
        # Those that are one too many for the engine wait with their images read.
        self.calls = options.in_flight + options.num_workers
        self._in_flight = asyncio.Semaphore(options.in_flight)
        self._pictures = pictures

    async def generate(self, batch: Sequence[Request]) -> list[Reply]:
        """Ask each request of the batch; one that cannot be answered fails alone."""
        return list(await asyncio.gather(*map(self._with_images, batch)))

    @abstractmethod
    async def _answer(self, request: Request, images: list[Any]) -> Reply:
        """Ask one request with its images."""

    async def _with_images(self, request: Request) -> Reply:
        async with self._pictures.of([request]) as (images,):
            if isinstance(images, PrefdataError):
                return Reply(id=request.id, error=str(images).rstrip("."))
            async with self._in_flight:
                return await self._answer(request, images)
