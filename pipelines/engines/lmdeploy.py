"""LMDeploy in this process (TurboMind or its PyTorch engine): tensor-parallel, continuous batching, prefix caching.

Where it stands: the feed asks one request per call and many calls at once; LMDeploy's own loop, in a thread of its own,
batches them. How it is set up stands in `lmdeploy_settings.py`, how prompts with images are written in
`lmdeploy_prompts.py`.

The decision to question: requests go to the pipeline's `async_engine`, not through `pipeline(...)`. That one takes no
token ids (a template that writes <bos> would get a second one), blocks a thread for every request under way, and reads
the images of a question once per sample. So LMDeploy 0.18 is needed, whose engine prepares and generates in two steps:
a question is prepared once, and its n samples, each with its seed, start from that. The first goes ahead until its
first token, so that the others find its prefill in the prefix cache.

Texts are decoded from token ids here: LMDeploy returns an empty text where the last token ends within a character.
"""

import asyncio
import dataclasses
import gc
import importlib.util
import logging
import random
import sys
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from pipelines.engines import refuse_unsupported
from pipelines.engines.base import Abilities, FinishReason, Reply, Request, Sample, sample_seed
from pipelines.engines.lmdeploy_prompts import chat_template, image_messages, kept, pieces
from pipelines.engines.lmdeploy_settings import (
    Backend,
    backend_of,
    engine_config,
    generation_config,
    image_settings,
    pipeline_arguments,
)
from pipelines.engines.orphans import guard_children
from pipelines.engines.workers import WorkerEngine, stopped
from prefdata.errors import PrefdataError
from prefdata.models import model_hash
from prefdata.progress import log, say
from prefdata.records import content_id

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

_SEED_BITS = 63


class LmdeployEngine(WorkerEngine):
    """One LMDeploy pipeline with its workers."""

    name = "lmdeploy"

    def __init__(self, options: "EngineOptions") -> None:
        if importlib.util.find_spec("lmdeploy") is None:
            raise ModuleNotFoundError("lmdeploy is not installed", name="lmdeploy")
        refuse_unsupported(options, "pp")
        super().__init__(options)
        self._pipe: Any = None
        self._backend: Backend = "pytorch"

    async def start(self) -> Abilities:
        """Load the model."""
        renderer = self.renderer
        try:
            self._pipe = self._make()
            self._guard = guard_children()
        except (ValueError, RuntimeError, OSError, AssertionError, ImportError, SystemExit) as error:
            # Ctrl-C also ends the workers: let the cancellation through before their end is called an error.
            await asyncio.sleep(0)
            # LMDeploy's checks of the machine end the process; a run ends with a sentence instead.
            ended = isinstance(error, SystemExit)
            reason = "its check of this machine failed" if ended else _reason(error)
            raise PrefdataError(
                f"{self._options.checkpoint}: LMDeploy does not start ({reason}); see the messages above or add -v."
            ) from error
        await self._stop_if_cancelled()
        return Abilities(
            images=hasattr(self._pipe.async_engine, "vl_encoder"),
            prefix=True,
            seeded=True,
            template_hash=content_id(renderer.template),
            model_hash=model_hash(self._model),
        )

    def rendered(self, request: Request) -> str:
        """The prompt text; around an image LMDeploy may write other marks than the template does."""
        if request.images and not self.renderer.takes_images:
            # LMDeploy knows vision models that transformers has no processor for, as InternVL's own checkpoints.
            return "<image>".join(pieces(request, self.renderer))
        return self.renderer.prompt(request)

    async def close(self) -> None:
        """Stop the workers and wait for their end."""
        self._pictures.close()
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            pipe.close()
            del pipe
            gc.collect()
        self._release_guard()

    def _make(self) -> Any:
        import lmdeploy
        from lmdeploy.serve.core import AsyncEngine

        if not hasattr(AsyncEngine, "preprocess"):
            raise PrefdataError(f"LMDeploy {lmdeploy.__version__}: 0.18 or later is needed; upgrade it.")
        level = "INFO" if log.isEnabledFor(logging.DEBUG) else "ERROR"
        logger = logging.getLogger("lmdeploy")
        logger.setLevel(level)
        for handler in logger.handlers:
            # Standard output belongs to results.
            if isinstance(handler, logging.StreamHandler) and handler.stream is sys.stdout:
                handler.setStream(sys.stderr)
        options, model = self._options, self._model
        self._backend = backend_of(options, model)
        config = engine_config(options, model, self._backend)
        pipe = lmdeploy.pipeline(
            model,
            backend_config=config,
            chat_template_config=chat_template(self.renderer),
            log_level=level,
            trust_remote_code=options.trust_remote_code,
            **pipeline_arguments(options, model, self._backend, config),
        )
        say(f"lmdeploy: {model}, the {self._backend} engine, context {config.session_len}")
        return pipe

    async def _answer(self, request: Request, images: list[Any]) -> Reply:
        from lmdeploy.serve.core.exceptions import ErrorCode, RequestError

        # Outside of what fails a row: a setting is wrong for all of them.
        settings = generation_config(request.sampling, self._backend, None)
        greedy = not settings.do_sample
        seeds: list[int | None] = [None] * request.n if greedy else _seeds(request)
        loop = self._pipe.internal_thread.loop
        try:
            asked, wanted = self._asked(request, images)
            drawing = asyncio.run_coroutine_threadsafe(self._draw(asked, wanted, settings, seeds), loop)
            prompt_ids, drawn = await asyncio.wrap_future(drawing)
        except RequestError as error:
            if error.code is ErrorCode.ENGINE_UNAVAILABLE:
                raise await stopped("LMDeploy") from error
            return Reply(id=request.id, error=_reason(error))
        except (PrefdataError, OSError, ValueError) as error:
            return Reply(id=request.id, error=_reason(error))
        samples = []
        for (ids, reason), seed in zip(drawn, seeds, strict=True):
            if reason not in ("stop", "length"):
                # A half answer: the workers got the Ctrl-C that is on its way to us, or somebody ended them.
                raise await stopped("LMDeploy")
            text = self.renderer.text_after(prompt_ids, ids)
            if reason == "length":
                # Half a character, which the length limit cut.
                text = text.rstrip("\ufffd")
            finish: FinishReason = "stop" if reason == "stop" else "length"
            samples.append(Sample(text=text, token_ids=tuple(ids), finish_reason=finish, seed=seed))
        return Reply(id=request.id, samples=tuple(samples), prompt_tokens=len(prompt_ids))

    def _asked(self, request: Request, images: list[Any]) -> tuple[dict[str, Any], list[str]]:
        """What goes to LMDeploy, and the texts that its prompt has to consist of (of rows with images)."""
        if not images:
            return {"messages": None, "input_ids": self.renderer.encode(self.renderer.prompt(request))}, []
        tiles = image_settings(self._options, self._pipe.async_engine.arch)
        return {"messages": image_messages(request, images, tiles)}, pieces(request, self.renderer)

    async def _draw(
        self, asked: dict[str, Any], wanted: list[str], settings: Any, seeds: Sequence[int | None]
    ) -> tuple[list[int], list[tuple[list[int], str | None]]]:
        """Token ids of the prompt, and token ids and finish reason of each sample. Runs in LMDeploy's loop."""
        pipe, engine = self._pipe, self._pipe.async_engine
        prepared = await engine.preprocess(session_id=pipe.session(), gen_config=settings, **asked)
        prompt_ids = prepared.inputs["input_ids"]
        if wanted:
            _check_prompt(prepared.inputs, wanted, engine.tokenizer)
        begun = asyncio.Event()

        async def sample(index: int) -> tuple[list[int], str | None]:
            first = index == 0
            if not first:
                await begun.wait()
            ids: list[int] = []
            reason = None
            one = prepared if first else dataclasses.replace(prepared, session=pipe.session(), consumed=False)
            # LMDeploy takes the images out of a request's inputs when it has them.
            one.inputs = dict(inputs)
            one.gen_config = dataclasses.replace(prepared.gen_config, random_seed=seeds[index])
            try:
                async with aclosing(
                    engine.generate(one, stream_response=first and len(seeds) > 1)
                ) as outputs:
                    async for output in outputs:
                        ids += output.token_ids or []
                        reason = output.finish_reason
                        begun.set()
            finally:
                begun.set()
            return ids, reason

        inputs = dict(prepared.inputs)
        done = await asyncio.gather(*map(sample, range(len(seeds))), return_exceptions=True)
        drawn = []
        for result in done:
            if isinstance(result, BaseException):
                raise result
            drawn.append(result)
        return prompt_ids, drawn


def _check_prompt(inputs: dict[str, Any], wanted: list[str], tokenizer: Any) -> None:
    """Refuse a prompt that is not the template's text with images in their places."""
    written = inputs.get("prompt")
    if written is None:
        # Models of LMDeploy's newer kind give token ids alone; a tokenizer may normalise, so it does to both.
        written = tokenizer.decode(inputs["input_ids"], skip_special_tokens=False)
        wanted = [
            tokenizer.decode(
                tokenizer.encode(text, add_bos=True, add_special_tokens=False), skip_special_tokens=False
            )
            for text in wanted
        ]
    if not kept(written, wanted):
        raise PrefdataError(
            "LMDeploy does not keep the order of text and images, or the begun answer, with this model; "
            "put the images in front of the text, or take --engine vllm"
        )


def _seeds(request: Request) -> list[int | None]:
    if request.seed is None:
        return [random.getrandbits(_SEED_BITS) for _ in range(request.n)]
    return [sample_seed(request, index) for index in range(request.n)]


def _reason(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(".")
