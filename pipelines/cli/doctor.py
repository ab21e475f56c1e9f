"""`prefdata doctor`: what this machine has, which engines can run, and how a model would be spread over its GPUs."""

import importlib.util
import sys
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from msgspec import Meta

from pipelines.cli.options import AtLeastOne
from prefdata.cli.config import config_command
from prefdata.errors import EXIT_DATA, PrefdataError

if TYPE_CHECKING:
    from pipelines.plan import Gpu

# engine -> (module that must be there, extra that brings it)
_NEEDS = {
    "transformers": ("transformers", "generate"),
    "vllm": ("vllm", "vllm"),
    "lmdeploy": ("lmdeploy", "lmdeploy"),
    "openai": ("httpx2", "openai"),
    "replay": ("msgspec", ""),
}


class Config(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What `prefdata doctor` can be told."""

    checkpoint: Annotated[
        str,
        Meta(description="Model to plan for: a folder, owner/name, or `demo`.", extra={"metavar": "M"}),
    ] = ""
    session_len: Annotated[
        AtLeastOne | None, Meta(description="Context length to plan for; default: 16384, or the model's.")
    ] = None
    gpus: Annotated[
        AtLeastOne | None,
        Meta(description="Plan for so many GPUs instead of those of this machine.", extra={"metavar": "N"}),
    ] = None
    gpu_memory: Annotated[
        float, Meta(gt=0, description="With --gpus: GiB of each.", extra={"metavar": "GIB"})
    ] = 80.0


@config_command(
    Config,
    name="doctor",
    section="Generate",
    examples="""
    prefdata doctor
    prefdata doctor --checkpoint OpenGVLab/InternVL3-8B-hf --session-len 8192
    prefdata doctor --checkpoint demo --gpus 8 --gpu-memory 80
    """,
)
def command(config: Config) -> int | None:
    """Print versions, engines, GPUs and memory, and for a model the plan: the smallest tensor-parallel size that holds
    weights and cache (--tp auto), and how many such copies the GPUs hold (--dp auto). Prints one JSON object at the
    end. The exit code is 1 where the model does not fit or cannot be read.
    """
    from pipelines import machine
    from pipelines.plan import GIB, Gpu

    found = machine.gpus()
    total, available = machine.memory()
    write = sys.stdout.write
    engines = {name: importlib.util.find_spec(module) is not None for name, (module, _) in _NEEDS.items()}
    write("versions: " + ", ".join(f"{name} {number}" for name, number in machine.versions().items()) + "\n")
    for name, usable in engines.items():
        missing = f"not installed: pip install 'prefdata[{_NEEDS[name][1]}]'"
        write(f"engine {name}: {'can be used' if usable else missing}\n")
    write(
        f"machine: {machine.cores()} cores, {total / GIB:.1f} GiB of memory, {available / GIB:.1f} GiB available\n"
    )
    for index, gpu in enumerate(found):
        write(f"GPU {index}: {gpu.name}, {gpu.total / GIB:.1f} GiB, {gpu.free / GIB:.1f} GiB free\n")
    if not found:
        write("GPUs: none (nvidia-smi shows none)\n")
    result: dict[str, Any] = {
        "versions": machine.versions(),
        "engines": engines,
        "cores": machine.cores(),
        "memory": {"total": total, "available": available},
        "gpus": [msgspec.to_builtins(gpu) for gpu in found],
    }
    code = None
    if config.checkpoint:
        imagined = [Gpu("imagined", int(config.gpu_memory * GIB), 0)] * (config.gpus or 0)
        try:
            result["plan"] = _plan(config, imagined or found)
        except PrefdataError as problem:
            write(f"plan for {config.checkpoint}: none. {problem}\n")
            result["plan"], code = None, EXIT_DATA
    write(msgspec.json.encode(result).decode() + "\n")
    return code


def _plan(config: Config, gpus: "list[Gpu]") -> dict[str, Any]:
    from pipelines.plan import CONTEXTS, GIB, plan, shape_of

    shape = shape_of(config.checkpoint, config.session_len)
    made = plan(shape, gpus)
    write = sys.stdout.write
    write(
        f"model {config.checkpoint}: {shape.weights / GIB:.2f} GiB of weights, {shape.heads} heads, "
        f"{shape.cache_per_token / 1024:.1f} KiB of cache per token, context {shape.context}\n"
    )
    if not gpus:
        write("plan: one copy on the CPU\n")
    else:
        write(
            f"plan: --tp {made.tp} --dp {made.replicas} on {len(gpus)} GPUs (what --tp auto --dp auto takes); each "
            f"GPU needs {made.needed_per_gpu / GIB:.1f} GiB with {CONTEXTS} contexts, its cache would hold "
            f"{made.tokens} tokens\n"
        )
    return {**msgspec.to_builtins(shape), **msgspec.to_builtins(made), "on": len(gpus)}
