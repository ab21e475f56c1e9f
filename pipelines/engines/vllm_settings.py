"""How a vLLM engine is set up from our flags: environment variables first, then vLLM's own engine arguments.

Where it stands: `vllm.py` calls `set_environment` before vLLM is imported and `engine_config` after. The decision to
question: environment variables are set at all. vLLM reads these settings from nowhere else, so each gets a value
where the user has not set one:

- VLLM_LOGGING_LEVEL=ERROR (INFO with -v), VLLM_LOGGING_STREAM=stderr: standard output belongs to results.
- VLLM_NO_USAGE_STATS=1: nothing is sent anywhere unless asked for.
- TORCH_CPP_LOG_LEVEL=ERROR, PYTHONWARNINGS=ignore (not with -v): notes of every worker that no user can act on.
- VLLM_CPU_OMP_THREADS_BIND=nobind and OMP_NUM_THREADS = cores / workers, on a CPU: the default binding needs one
  NUMA node per worker and fights with everything else that runs on the machine.

On a CPU the KV cache gets a quarter of the free memory, at most 4 GiB (all workers together; VLLM_CPU_KVCACHE_SPACE or
--cache-max-entry-count say otherwise), and blocks of 32 tokens instead of 128: only whole blocks are shared between
the samples of a question, and most questions are shorter than 128 tokens. `--dtype auto` means float32 there: a CPU
without bfloat16 instructions converts every weight at every step (measured: less than half the tokens per second).

With several workers, processed images go to them through shared memory, once, rather than through a pipe to each (vLLM
measured 11 % more prefill the first time and 70 % more for images seen before), where /dev/shm has the room: written
beyond its end it would end the workers.
"""

import inspect
import logging
import os
from typing import TYPE_CHECKING, Any

from prefdata.errors import PrefdataError
from prefdata.progress import log

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

# The original's context length; a model with less keeps its own.
SESSION_LEN = 16384
_GIB = 1024**3
CPU_CACHE_BYTES = 4 * _GIB
CPU_CACHE_SHARE = 0.25
_CPU_BLOCK_TOKENS = 32
# vLLM's default.
_MM_CACHE_GIB = 4


def set_environment() -> None:
    """Give vLLM's environment variables their defaults; to be called before vLLM is imported."""
    verbose = log.isEnabledFor(logging.DEBUG)
    defaults = {
        "VLLM_LOGGING_LEVEL": "INFO" if verbose else "ERROR",
        "VLLM_LOGGING_STREAM": "ext://sys.stderr",
        "VLLM_NO_USAGE_STATS": "1",
        "TORCH_CPP_LOG_LEVEL": "INFO" if verbose else "ERROR",
        "PYTHONWARNINGS": "default" if verbose else "ignore",
    }
    for name, value in defaults.items():
        os.environ.setdefault(name, value)


def engine_config(options: "EngineOptions", model: str) -> Any:
    """vLLM's checked configuration. Raises PrefdataError for an unknown `--engine-arg`, vLLM's own errors otherwise."""
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.platforms import current_platform

    values: dict[str, Any] = {
        "model": model,
        "dtype": options.dtype,
        "tensor_parallel_size": options.tensor_parallel,
        "pipeline_parallel_size": options.pp or 1,
        "trust_remote_code": options.trust_remote_code,
        "enable_prefix_caching": True,
        "disable_log_stats": not wants_statistics(options),
        "use_tqdm_on_load": False,
    }
    if current_platform.is_cpu():
        values |= _for_cpu(options)
        if options.dtype == "auto":
            values["dtype"] = "float32"
    elif options.cache_max_entry_count is not None:
        values["gpu_memory_utilization"] = options.cache_max_entry_count
    given = {key: parse_value(value) for key, value in options.engine_args.items()}
    known = inspect.signature(AsyncEngineArgs).parameters
    if options.tensor_parallel * (options.pp or 1) > 1 and "mm_processor_cache_type" in known:
        size = given.get("mm_processor_cache_gb", _MM_CACHE_GIB)
        values["mm_processor_cache_type"] = "shm" if _shared_memory() > size * _GIB else "lru"
    for key in given:
        if key not in known:
            raise PrefdataError(
                f"--engine-arg {key}: vLLM has no such engine argument; see `vllm serve --help`."
            )
    values |= given
    config = AsyncEngineArgs(**values).create_engine_config()
    wanted = options.session_len or SESSION_LEN
    if "max_model_len" not in values and config.model_config.max_model_len > wanted:
        config = AsyncEngineArgs(**values, max_model_len=wanted).create_engine_config()
    return config


def wants_statistics(options: "EngineOptions") -> bool:
    """Whether vLLM is to count what it does (`--engine-arg disable_log_stats=false`), for a reader of its metrics."""
    return parse_value(options.engine_args.get("disable_log_stats", "true")) is False


def parse_value(text: str) -> Any:
    """The value of `--engine-arg key=value`: a YAML scalar, list or mapping (`true`, `2`, `{image: 1}`), else text."""
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _shared_memory() -> int:
    """Free bytes of the memory that processes share through files."""
    try:
        found = os.statvfs("/dev/shm")
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _for_cpu(options: "EngineOptions") -> dict[str, Any]:
    import psutil

    workers = options.tensor_parallel * (options.pp or 1)
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // workers)))
    # Compilation takes minutes on a CPU and gains little for the small models that run there.
    values: dict[str, Any] = {"enforce_eager": True, "block_size": _CPU_BLOCK_TOKENS}
    if not os.environ.get("VLLM_CPU_KVCACHE_SPACE"):
        free = int(psutil.virtual_memory().available)
        share = options.cache_max_entry_count
        cache = int(free * share) if share else min(CPU_CACHE_BYTES, int(free * CPU_CACHE_SHARE))
        values["kv_cache_memory_bytes"] = cache // workers
    return values
