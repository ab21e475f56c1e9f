"""Answers from a file, the same every time: the whole road without a model, for tests and dry rehearsals.

`--checkpoint FILE.jsonl` holds lines `{"texts": [...], "question"?: ..., "finish_reason"?: ..., "error"?: ...,
"stalls"?: 1}`.
The first line whose `question` is the text of the last user turn answers, else the first line without `question`;
which of its texts sample i gets is decided by the sample's seed, as drawing would. `--engine-arg delay=0.05` waits
before each reply, so that a test can interrupt a run half way; a line with `stalls` hangs so many times in a process.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pipelines.engines.base import Abilities, FinishReason, Reply, Request, Sample, sample_seed
from pipelines.probe import PROBE_ID
from prefdata.errors import PrefdataError
from prefdata.jsonl import read_lines
from prefdata.records import MediaRef, Text, content_id

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions


class Line(msgspec.Struct, forbid_unknown_fields=True):
    """One line of the file."""

    texts: list[str] = []
    question: str | None = None
    finish_reason: FinishReason = "stop"
    error: str | None = None
    stalls: int = 0


class ReplayEngine:
    """Deterministic engine without a model; its tokens are characters."""

    name = "replay"

    def __init__(self, options: "EngineOptions") -> None:
        arguments = options.engine_args
        try:
            self.delay = float(arguments.pop("delay", "0"))
            self.batch_size = int(arguments.pop("batch_size", "1"))
        except ValueError as error:
            raise PrefdataError(f"--engine-arg: {error}; a number is needed.") from error
        if arguments:
            raise PrefdataError(
                f"--engine-arg {next(iter(arguments))}: the replay engine knows delay and batch_size."
            )
        self.calls = 1 if self.batch_size > 1 else options.in_flight
        path = Path(options.checkpoint)
        if not path.is_file():
            raise PrefdataError(f"{path}: the replay engine needs a JSONL file of answers as --checkpoint.")
        self._lines: dict[str | None, Line] = {}
        for number, raw in read_lines(path):
            try:
                line = msgspec.json.decode(raw, type=Line)
            except msgspec.DecodeError as error:
                raise PrefdataError(f"{path}:{number}: not a line of answers ({error}).") from error
            self._lines.setdefault(line.question, line)

    async def start(self) -> Abilities:
        """Nothing to load."""
        answers = {
            question or "": msgspec.to_builtins(msgspec.structs.replace(line, stalls=0))
            for question, line in self._lines.items()
        }
        return Abilities(
            images=True,
            prefix=True,
            seeded=True,
            template_hash=content_id("replay"),
            model_hash=content_id(answers),
        )

    async def generate(self, batch: Sequence[Request]) -> list[Reply]:
        """The file's answers for each request."""
        replies = []
        for request in batch:
            await asyncio.sleep(self.delay)
            if not request.id.startswith(PROBE_ID):
                await self._stall(request)
            replies.append(self._reply(request))
        return replies

    def encode(self, text: str) -> list[int]:
        """Characters are the tokens."""
        return [ord(character) for character in text]

    def decode(self, token_ids: Sequence[int]) -> str:
        """The inverse of `encode`."""
        return "".join(map(chr, token_ids))

    def rendered(self, request: Request) -> str:
        """Roles and texts, images as `<image>`, then the prefix."""
        turns = [
            f"{turn.role}: " + "".join(_shown(part) for part in turn.content) for turn in request.messages
        ]
        return "\n".join([*turns, "assistant: " + request.prefix])

    async def close(self) -> None:
        """Nothing to free."""

    async def _stall(self, request: Request) -> None:
        line = self._line(request)
        if line is not None and line.stalls > 0:
            line.stalls -= 1
            await asyncio.Event().wait()

    def _line(self, request: Request) -> Line | None:
        asked = request.messages[-1].text.strip()
        return self._lines.get(asked) or self._lines.get(None)

    def _reply(self, request: Request) -> Reply:
        if request.id.startswith(PROBE_ID):
            samples = [Sample(text="", token_ids=(), finish_reason="length") for _ in range(request.n)]
            return Reply(id=request.id, samples=tuple(samples), prompt_tokens=len(self.rendered(request)))
        line = self._line(request)
        if line is None:
            asked = request.messages[-1].text.strip()
            return Reply(id=request.id, error=f"the replay file has no answer to {asked!r}")
        if line.error is not None or not line.texts:
            return Reply(id=request.id, error=line.error or "the replay file's line has no texts")
        samples = []
        for index in range(request.n):
            seed = sample_seed(request, index)
            text = line.texts[seed % len(line.texts)]
            samples.append(
                Sample(
                    text=text, token_ids=tuple(self.encode(text)), finish_reason=line.finish_reason, seed=seed
                )
            )
        return Reply(id=request.id, samples=tuple(samples), prompt_tokens=len(self.rendered(request)))


def _shown(part: Any) -> str:
    return part.text if isinstance(part, Text) else "<image>" if isinstance(part, MediaRef) else ""
