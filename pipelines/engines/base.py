"""The engine protocol: a batch of requests in, their samples out.

Where it stands: the feed (`pipelines/feed.py`) asks, one engine file each answers. The decision to question:
`generate` takes a *list*. Engines that schedule by themselves (vLLM, servers) say `batch_size = 1` and get one
call per request, many at once; engines that need a static batch (transformers) get the same fixed groups on every
run, so that an interrupted run repeats the very same arithmetic and ends with the same bytes. How many calls are
under way at once is the engine's to say (`calls`): it knows what it works on and what it prepares meanwhile.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import msgspec
import xxhash

from prefdata.records import Message

FinishReason = Literal["stop", "length", "error"]


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """How tokens are drawn. `temperature` 0 is greedy; `top_k` 0 and `top_p` 1 keep the whole vocabulary."""

    temperature: float = 1.0
    top_k: int = 0
    top_p: float = 1.0
    max_new_tokens: int = 1024


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt. `messages` refer to `images` by index (`MediaRef`); `prefix` is the assistant text to continue.

    first: number of the first of the `n` samples, where others were asked for before; its seed is that of one request
    for all of them.
    """

    id: str
    messages: tuple[Message, ...]
    images: tuple[Path | bytes, ...] = ()
    prefix: str = ""
    n: int = 1
    first: int = 0
    sampling: Sampling = Sampling()
    seed: int | None = None

    @property
    def key(self) -> str:
        """Under which its result is kept: the id, with the number of the first sample where that is not 0."""
        return f"{self.id}.{self.first}" if self.first else self.id


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One generated response. `text` is what follows the prefix, byte for byte: `prefix + text` is the answer."""

    text: str
    token_ids: tuple[int, ...]
    finish_reason: FinishReason
    seed: int | None = None


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back for one request: its samples, or the one-sentence reason why there are none.

    generated_tokens: of all samples, as the engine counts them where it gives no token ids.
    """

    id: str
    samples: tuple[Sample, ...] = ()
    error: str | None = None
    prompt_tokens: int = 0
    generated_tokens: int = 0

    @property
    def tokens(self) -> int:
        """Generated tokens of all samples."""
        return self.generated_tokens or sum(len(sample.token_ids) for sample in self.samples)

    @property
    def failure(self) -> str | None:
        """Why the request has to be asked again: its error, or that of one of its samples."""
        if self.error is None and any(sample.finish_reason == "error" for sample in self.samples):
            return "a sample failed"
        return self.error


def sample_seed(request: Request, index: int) -> int:
    """The seed of sample `index` (63 bits): it hangs on the request alone, never on order, batch or shard."""
    return xxhash.xxh3_64_intdigest(f"{request.seed}/{request.id}/{request.first + index}".encode()) >> 1


class Abilities(msgspec.Struct, frozen=True, kw_only=True):
    """What an engine can do. A run that needs more is refused before it starts.

    seeded: the same request and seed give the same samples. template_hash: hash of the chat template in use.
    """

    images: bool
    prefix: bool
    seeded: bool
    template_hash: str
    model_hash: str


class Engine(Protocol):
    """What generates. `start` loads the model, `generate` may be awaited many times at once, `close` frees all.

    batch_size: requests in one call. calls: calls of `generate` that keep it busy.
    """

    name: str
    batch_size: int
    calls: int

    async def start(self) -> Abilities: ...

    async def generate(self, batch: Sequence[Request]) -> list[Reply]: ...

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text without special tokens, by the model's own tokenizer."""
        ...

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids, special tokens left out."""
        ...

    def rendered(self, request: Request) -> str:
        """The prompt as the model will see it, for the probe, `--dry-run` and the template hash."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class WatchesItself(Protocol):
    """An engine that notices what makes no progress in it and restarts that alone."""

    watches_itself: Literal[True]


@runtime_checkable
class ProvesPrefix(Protocol):
    """An engine that does not see its own prompt and finds out by asking whether prefixes are continued."""

    async def prove_prefix(self) -> None:
        """Raises PrefdataError where a begun answer is not continued byte for byte."""
        ...
