"""How an LMDeploy engine is set up from our flags: the backend first, then that backend's own configuration.

Where it stands: `lmdeploy.py` calls `backend_of`, `engine_config` and `pipeline_arguments` before the model is loaded.
The decision to question: what LMDeploy replaces by itself is refused here. It falls back from TurboMind to its PyTorch
engine, and cuts `top_k` down to 1024 on TurboMind, with no more than a warning; both would change results silently.
"""

import dataclasses
from typing import TYPE_CHECKING, Any, Literal

from pipelines.engines.base import Sampling
from pipelines.engines.vllm_settings import SESSION_LEN, parse_value
from prefdata.errors import PrefdataError

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

Backend = Literal["turbomind", "pytorch"]

# What TurboMind's sampling kernel sorts at most, and LMDeploy's bound on the temperature.
_TURBOMIND_TOP_K = 1024
_TEMPERATURE = 2.0
# The model of the original scripts; its tiles are chosen per image, those of others by their image processor.
_TILES_PER_IMAGE = "InternVLChatModel"


def backend_of(options: "EngineOptions", model: str) -> Backend:
    """The backend that `--engine-arg backend=` asks for, else LMDeploy's own choice for the model."""
    from lmdeploy.archs import autoget_backend

    wanted = options.engine_args.get("backend", "auto")
    if wanted not in ("auto", "turbomind", "pytorch"):
        raise PrefdataError(f"--engine-arg backend={wanted}: LMDeploy has turbomind and pytorch.")
    if wanted == "pytorch":
        return "pytorch"
    found = autoget_backend(model, trust_remote_code=options.trust_remote_code)
    if wanted == "turbomind" and found != "turbomind":
        raise PrefdataError(
            f"--engine-arg backend=turbomind: TurboMind cannot run {model} here (unknown model, or its library does "
            "not load); leave it out to take LMDeploy's PyTorch engine."
        )
    return "turbomind" if found == "turbomind" else "pytorch"


def engine_config(options: "EngineOptions", model: str, backend: Backend) -> Any:
    """LMDeploy's configuration. Raises PrefdataError for a setting that it does not have or take."""
    from lmdeploy import PytorchEngineConfig, TurbomindEngineConfig

    if options.dtype == "float32":
        raise PrefdataError("--dtype float32: LMDeploy computes in float16 or bfloat16; take auto.")
    kind = TurbomindEngineConfig if backend == "turbomind" else PytorchEngineConfig
    given = {key: parse_value(value) for key, value in options.engine_args.items() if key != "backend"}
    known = {field.name for field in dataclasses.fields(kind)}
    for key in given:
        if key not in known:
            raise PrefdataError(
                f"--engine-arg {key}: LMDeploy's {backend} engine has no such setting; it has those of {kind.__name__}."
            )
    values: dict[str, Any] = {
        "dtype": options.dtype,
        "tp": options.tensor_parallel,
        "session_len": _session_len(options, model),
        "enable_prefix_caching": True,
        "enable_metrics": False,
    }
    if options.cache_max_entry_count is not None:
        values["cache_max_entry_count"] = options.cache_max_entry_count
    try:
        return kind(**values | given)
    except (AssertionError, TypeError, ValueError) as error:
        said = " ".join(str(error).split()) or "a value is out of range"
        raise PrefdataError(f"LMDeploy's {kind.__name__} refuses the settings ({said}).") from error


def pipeline_arguments(options: "EngineOptions", model: str, backend: Backend, config: Any) -> dict[str, Any]:
    """What only vision-language models take. Raises PrefdataError where it is given for another model."""
    from lmdeploy import VisionConfig
    from lmdeploy.archs import get_model_arch, get_task

    task, _ = get_task(backend, model, options.trust_remote_code, config)
    if options.vit_batch_size is not None and task != "vlm":
        raise PrefdataError(f"--vit-batch-size: {model} has no vision encoder in LMDeploy; leave it out.")
    if options.dynamic and get_model_arch(model, options.trust_remote_code)[0] != _TILES_PER_IMAGE:
        raise PrefdataError(
            f"--dynamic: LMDeploy takes the number of tiles of one image for {_TILES_PER_IMAGE} only; the image "
            f"processor of {model} decides by itself."
        )
    if options.vit_batch_size is None:
        return {}
    return {"vision_config": VisionConfig(max_batch_size=options.vit_batch_size)}


def image_settings(options: "EngineOptions", arch: str) -> dict[str, int]:
    """What goes with each image: the number of tiles, where LMDeploy takes one (without --dynamic a single tile)."""
    if arch != _TILES_PER_IMAGE:
        return {}
    return {"max_dynamic_patch": options.max_num if options.dynamic else 1}


def generation_config(sampling: Sampling, backend: Backend, seed: int | None) -> Any:
    """LMDeploy's sampling parameters. Raises PrefdataError for values that LMDeploy would cut down.

    `do_sample` is off by default there, which makes every answer greedy; `top_k` 0 means the whole vocabulary in both
    backends.
    """
    from lmdeploy import GenerationConfig

    if sampling.temperature > _TEMPERATURE:
        raise PrefdataError(
            f"--temperature {sampling.temperature:g}: LMDeploy takes at most {_TEMPERATURE:g}."
        )
    if backend == "turbomind" and sampling.top_k > _TURBOMIND_TOP_K:
        raise PrefdataError(
            f"--top-k {sampling.top_k}: TurboMind takes at most {_TURBOMIND_TOP_K}, or 0 for all tokens."
        )
    return GenerationConfig(
        do_sample=sampling.temperature > 0,
        temperature=sampling.temperature,
        top_k=sampling.top_k,
        top_p=sampling.top_p,
        max_new_tokens=sampling.max_new_tokens,
        random_seed=seed,
    )


def _session_len(options: "EngineOptions", model: str) -> int:
    """The smaller of what is asked for and what the model was made for."""
    from lmdeploy.archs import get_model_arch

    _, config = get_model_arch(model, trust_remote_code=options.trust_remote_code)
    text = getattr(config, "llm_config", None) or config.get_text_config()
    made_for = getattr(text, "max_position_embeddings", None)
    wanted = options.session_len or SESSION_LEN
    return min(wanted, made_for) if made_for else wanted
