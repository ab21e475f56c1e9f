"""vLLM in this process (AsyncLLM, V1): tensor- and pipeline-parallel, continuous batching, prefix caching.

Where it stands: the feed asks one request per call and many calls at once; vLLM schedules them. Samples of one
question are one request (or one per seed); the prefix cache gives them a common prefill. How the engine is set up
stands in `vllm_settings.py`.

Seeds: one per sample on GPUs. A seed fixes the draws, not the rounding: what else is in the batch may change the last
bit of a logit, unless VLLM_BATCH_INVARIANT=1 is set. vLLM's CPU build dies of a request with a seed
("CPU Generator does not use offset"), so there `seeded` is False and samples carry no seed.

vLLM starts worker processes by `spawn`: a script that uses this class needs `if __name__ == "__main__":`.
"""

import asyncio
import gc
import importlib.util
import inspect
import itertools
import warnings
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from pipelines.engines import refuse_unsupported
from pipelines.engines.base import Abilities, Reply, Request, Sample, sample_seed
from pipelines.engines.orphans import guard_children
from pipelines.engines.vllm_settings import engine_config, set_environment, wants_statistics
from pipelines.engines.workers import WorkerEngine, stopped
from prefdata.errors import PrefdataError
from prefdata.models import model_hash
from prefdata.progress import log
from prefdata.records import content_id

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

# vLLM's own 5 s are too short for a busy machine: it would kill workers that are about to end by themselves.
_SHUTDOWN_SECONDS = 10.0


class VllmEngine(WorkerEngine):
    """One vLLM engine with its workers."""

    name = "vllm"

    def __init__(self, options: "EngineOptions") -> None:
        if importlib.util.find_spec("vllm") is None:
            raise ModuleNotFoundError("vllm is not installed", name="vllm")
        refuse_unsupported(options, "dynamic", "vit_batch_size")
        super().__init__(options)
        self._llm: Any = None
        self._seeded = False
        self._numbers = itertools.count()

    async def start(self) -> Abilities:
        """Load the model into the workers (10 s for a small model)."""
        set_environment()
        renderer = self.renderer
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self._llm = self._make()
            self._guard = guard_children()
        except (ValueError, RuntimeError, OSError, AssertionError, NotImplementedError) as error:
            # Ctrl-C also ends the workers: let the cancellation through before their end is called an error.
            await asyncio.sleep(0)
            raise PrefdataError(
                f"{self._options.checkpoint}: vLLM does not start ({_reason(error)}); "
                "see the messages above or add -v."
            ) from error
        await self._stop_if_cancelled()
        return Abilities(
            images=renderer.takes_images,
            prefix=True,
            seeded=self._seeded,
            template_hash=content_id(renderer.template),
            model_hash=model_hash(self._model),
        )

    def rendered(self, request: Request) -> str:
        """The prompt text exactly as it is sent."""
        return self.renderer.prompt(request)

    async def close(self) -> None:
        """Stop the workers and wait for their end."""
        self._pictures.close()
        llm, self._llm = self._llm, None
        if llm is not None:
            knows_timeout = "timeout" in inspect.signature(llm.shutdown).parameters
            llm.shutdown(**({"timeout": _SHUTDOWN_SECONDS} if knows_timeout else {}))
            # vLLM shuts down once more when collected; at the interpreter's end that fails with a traceback.
            del llm
            gc.collect()
        self._release_guard()

    def _make(self) -> Any:
        from vllm.platforms import current_platform
        from vllm.v1.engine.async_llm import AsyncLLM

        self._seeded = not current_platform.is_cpu()
        config = engine_config(self._options, self._model)
        return AsyncLLM.from_vllm_config(config, disable_log_stats=not wants_statistics(self._options))

    async def _answer(self, request: Request, images: list[Any]) -> Reply:
        from vllm.exceptions import VLLMClientError
        from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

        try:
            prompt = self._prompt(request, images)
            if request.sampling.temperature == 0:
                # vLLM refuses n > 1 here: greedy answers are all the same one.
                seeds: list[int | None] = [None] * request.n
                outputs = [await self._ask(request, prompt, 1, None)] * request.n
            elif self._seeded and request.seed is not None:
                seeds = [sample_seed(request, index) for index in range(request.n)]
                outputs = await asyncio.gather(*(self._ask(request, prompt, 1, seed) for seed in seeds))
            else:
                seeds = [None] * request.n
                outputs = [await self._ask(request, prompt, request.n, None)]
        except EngineDeadError as error:
            raise await stopped("vLLM") from error
        except (PrefdataError, OSError, ValueError, VLLMClientError, EngineGenerateError) as error:
            return Reply(id=request.id, error=_reason(error))
        completions = [completion for output in outputs for completion in output.outputs]
        reasons = {completion.finish_reason for completion in completions}
        if "abort" in reasons:
            # A half answer: the workers got the Ctrl-C that is on its way to us, or somebody ended them.
            raise await stopped("vLLM")
        if not reasons <= {"stop", "length"}:
            return Reply(id=request.id, error=f"vLLM ended an answer with {sorted(map(str, reasons))}")
        samples = tuple(
            Sample(
                text=completion.text,
                token_ids=tuple(completion.token_ids),
                finish_reason=completion.finish_reason,
                seed=seed,
            )
            for completion, seed in zip(completions, seeds, strict=True)
        )
        # A greedy answer that stands there n times was generated once.
        made = samples[:1] if request.sampling.temperature == 0 else samples
        return Reply(
            id=request.id,
            samples=samples,
            prompt_tokens=len(outputs[0].prompt_token_ids),
            generated_tokens=sum(len(sample.token_ids) for sample in made),
        )

    def _prompt(self, request: Request, images: list[Any]) -> dict[str, Any]:
        text = self.renderer.prompt(request)
        if not images:
            return {"prompt_token_ids": self.renderer.encode(text)}
        placed = [images[index] for turn in request.messages for index in turn.media_indexes]
        if len(placed) != len(images):
            raise PrefdataError(
                f"{len(images)} images are given but {len(placed)} have a place in the prompt."
            )
        return {"prompt": text, "multi_modal_data": {"image": placed}}

    async def _ask(self, request: Request, prompt: dict[str, Any], n: int, seed: int | None) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        sampling = request.sampling
        parameters = SamplingParams(
            n=n,
            temperature=sampling.temperature,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            max_tokens=sampling.max_new_tokens,
            seed=seed,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        # The template has written the special tokens; a second <bos> would change the answer.
        once = {"add_special_tokens": False} if "prompt" in prompt else None
        name = f"{request.id}-{next(self._numbers)}"
        stream = self._llm.generate(prompt, parameters, name, tokenization_kwargs=once)
        async with aclosing(stream):
            output = [piece async for piece in stream][-1]
        log.debug(
            "vllm: %s: %d prompt tokens, %s cached",
            name,
            len(output.prompt_token_ids),
            output.num_cached_tokens,
        )
        return output


def _reason(error: BaseException) -> str:
    """One line of why, without the multi-line forms of validation errors."""
    import pydantic

    if isinstance(error, pydantic.ValidationError):
        return "; ".join(item["msg"] for item in error.errors())
    cause = error.__cause__ if error.__cause__ is not None and not isinstance(error, PrefdataError) else error
    lines = str(cause).strip().splitlines() or [type(cause).__name__]
    return lines[0].rstrip(".")
