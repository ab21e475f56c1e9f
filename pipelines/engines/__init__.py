"""The engines by name. Each is imported only when it is asked for: their libraries are heavy and exclude each other."""

import importlib
from typing import TYPE_CHECKING

from pipelines.engines.base import Engine
from prefdata.errors import PrefdataError

if TYPE_CHECKING:
    from pipelines.cli.options import EngineOptions

# name -> (module, class, extra to install)
_ENGINES = {
    "transformers": ("pipelines.engines.transformers", "TransformersEngine", "generate"),
    "vllm": ("pipelines.engines.vllm", "VllmEngine", "vllm"),
    "lmdeploy": ("pipelines.engines.lmdeploy", "LmdeployEngine", "lmdeploy"),
    "openai": ("pipelines.engines.openai", "OpenAIEngine", "openai"),
    "replay": ("pipelines.engines.replay", "ReplayEngine", ""),
}


def make_engine(options: "EngineOptions") -> Engine:
    """The engine that `options` ask for, not yet started; several copies of it behind one with `--dp`."""
    if (copies := options.copies) > 1:
        from pipelines.engines.replicas import ReplicasEngine

        return ReplicasEngine(options, copies)
    module, name, extra = _ENGINES[options.engine]
    try:
        engine: Engine = getattr(importlib.import_module(module), name)(options)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("pipelines"):
            raise
        raise PrefdataError(
            f"--engine {options.engine}: the package {error.name} is not installed; pip install 'prefdata[{extra}]'."
        ) from error
    return engine


def refuse_unsupported(options: "EngineOptions", *names: str) -> None:
    """Refuse flags that were given but mean nothing to the engine; ignoring them would be a silent lie."""
    for name in names:
        if getattr(options, name) not in (None, False, ()):
            flag = "--" + name.replace("_", "-")
            raise PrefdataError(
                f"{flag}: the {options.engine} engine has no such setting; leave it out or take another --engine."
            )
