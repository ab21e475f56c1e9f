"""Flags that the generation commands share: engine, sampling, run. A command's config inherits the last it needs.

Names and meanings are those of the original scripts, so that their command lines keep working; a flag that an
engine cannot honour is refused with a sentence by that engine, never ignored. The chain is linear (engine ->
sampling -> run) because msgspec structs cannot inherit from two parents with fields.
"""

import os
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
from msgspec import Meta

from prefdata.errors import PrefdataError

if TYPE_CHECKING:
    from pipelines.engines.base import Sampling

EngineName = Literal["transformers", "vllm", "lmdeploy", "openai", "replay"]
DTypeName = Literal["auto", "float32", "bfloat16", "float16"]

# A bound on an optional number belongs to the number: msgspec refuses it on `int | None`.
AtLeastOne = Annotated[int, Meta(ge=1)]
Share = Annotated[float, Meta(gt=0, le=1)]

# Enough to fill a continuous-batching engine, few enough to hold their images in memory.
_IN_FLIGHT = 256

# A run may be resumed with other values of these: they say where things lie and how fast to go, not what is asked.
# `image_root` is among them so that a wrong one can be corrected: rows whose images were not found are still owed.
NEUTRAL = frozenset(
    {
        "checkpoint",
        "prompt_path",
        "prompt_file",
        "out_dir",
        "image_root",
        "num_workers",
        "trust_remote_code",
        "dp",
    }
    | {"base_url", "stall_timeout", "dry_run", "price_per_mtok", "judge_base_url", "judge_prompt", "samples"}
    | {"min_new_tokens"}  # refused, so never anything but None
)


class EngineOptions(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Which model, on which engine."""

    checkpoint: Annotated[
        str,
        Meta(
            description="Model folder, hub name owner/name, `demo` for the bundled model; a server's name for it.",
            extra={"metavar": "M"},
        ),
    ]
    engine: Annotated[EngineName, Meta(description="What generates; see docs/generate.md.")] = "transformers"
    base_url: Annotated[
        str | None,
        Meta(
            description="Where the server of --engine openai answers, such as http://localhost:8000/v1.",
            extra={"metavar": "URL"},
        ),
    ] = None
    dtype: Annotated[
        DTypeName,
        Meta(description="Number type of the weights; auto: float32 on a CPU, else the checkpoint's own."),
    ] = "auto"
    tp: Annotated[
        str | int | None,
        Meta(
            description="Tensor-parallel size; auto: the smallest that fits. Default: environment variable TP, or 1.",
            extra={"metavar": "N|auto"},
        ),
    ] = None
    dp: Annotated[
        str | int | None,
        Meta(
            description="Copies of the model on this machine, one queue; auto: as many as its GPUs hold. Default: 1.",
            extra={"metavar": "N|auto"},
        ),
    ] = None
    pp: Annotated[AtLeastOne | None, Meta(description="Pipeline-parallel size (engines that have one).")] = (
        None
    )
    batch_size: Annotated[
        AtLeastOne | None,
        Meta(
            description="Questions asked together: a static batch (transformers: 16), in flight (others: 256); of each "
            "copy with --dp.",
        ),
    ] = None
    session_len: Annotated[
        AtLeastOne | None,
        Meta(
            description="Context length: a question that does not fit with its answer is dropped with a reason.",
        ),
    ] = None
    cache_max_entry_count: Annotated[
        Share | None,
        Meta(description="Share of GPU memory for the KV cache (engines that manage one)."),
    ] = None
    vit_batch_size: Annotated[
        AtLeastOne | None,
        Meta(description="Images per vision-encoder batch (engines that have such a setting)."),
    ] = None
    dynamic: Annotated[bool, Meta(description="Cut images into tiles (InternVL models).")] = False
    max_num: Annotated[int, Meta(ge=1, description="Most tiles of one image, with --dynamic.")] = 6
    num_workers: Annotated[int, Meta(ge=1, description="Threads that read images ahead.")] = 8
    stall_timeout: Annotated[
        float,
        Meta(
            ge=0,
            description="Restart an engine that gave no answer for so many seconds; 0 waits for ever.",
            extra={"metavar": "SECONDS"},
        ),
    ] = 0.0
    engine_arg: Annotated[
        tuple[str, ...],
        Meta(description="Extra setting for the engine; may be repeated.", extra={"metavar": "K=V"}),
    ] = ()
    trust_remote_code: Annotated[
        bool, Meta(description="Run Python code that a checkpoint brings along.")
    ] = False

    @property
    def in_flight(self) -> int:
        """Most requests at once for one engine that schedules by itself."""
        return self.batch_size or _IN_FLIGHT

    @property
    def tensor_parallel(self) -> int:
        """`--tp`, else the environment variable TP (as the original scripts read it), else 1."""
        where, given = ("--tp", self.tp) if self.tp is not None else ("TP", os.environ.get("TP", "1"))
        if given == "auto":
            from pipelines.plan import automatic

            # One device each: nothing to spread.
            return (
                1
                if self.engine in ("transformers", "replay")
                else automatic(self.checkpoint, self.session_len)
            )
        if not str(given).isdigit() or int(given) < 1:
            raise PrefdataError(f"{where} {given}: a whole number of at least 1 is needed, or auto.")
        return int(given)

    @property
    def copies(self) -> int:
        """`--dp`: how many copies of the engine run side by side."""
        if self.dp is None or self.dp in (1, "1"):
            return 1
        if self.engine == "openai":
            raise PrefdataError(
                f"--dp {self.dp}: how many copies a server runs is the server's to say; leave it out (vllm serve has "
                "--data-parallel-size)."
            )
        if self.dp == "auto":
            from pipelines.plan import automatic_copies

            return 1 if self.engine == "replay" else automatic_copies(self.tensor_parallel * (self.pp or 1))
        if not str(self.dp).isdigit() or int(self.dp) < 1:
            raise PrefdataError(f"--dp {self.dp}: a whole number of at least 1 is needed, or auto.")
        return int(self.dp)

    @property
    def engine_args(self) -> dict[str, str]:
        """`--engine-arg` as a mapping."""
        pairs = {}
        for given in self.engine_arg:
            key, equals, value = given.partition("=")
            if not equals or not key:
                raise PrefdataError(f"--engine-arg {given!r}: write it as key=value.")
            pairs[key.replace("-", "_")] = value
        return pairs


class SamplingOptions(EngineOptions, kw_only=True, frozen=True):
    """How answers are drawn."""

    num_return_sequences: Annotated[int, Meta(ge=1, description="Samples per question.")] = 1
    temperature: Annotated[float, Meta(ge=0, description="0 is greedy.")] = 0.7
    top_k: Annotated[int, Meta(ge=0, description="Draw from the k most likely tokens; 0 keeps all.")] = 50
    top_p: Annotated[
        float, Meta(gt=0, le=1, description="Draw from the most likely tokens that hold this share.")
    ] = 1.0
    max_new_tokens: Annotated[int, Meta(ge=1, description="Longest answer, in tokens.")] = 2048
    seed: Annotated[int, Meta(description="Same input, settings and seed: same bytes out.")] = 0

    def sampling(self) -> "Sampling":
        """The engine's view of these flags."""
        from pipelines.engines.base import Sampling

        return Sampling(
            temperature=self.temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            max_new_tokens=self.max_new_tokens,
        )


class RunOptions(SamplingOptions, kw_only=True, frozen=True):
    """What is asked and where the run lives."""

    prompt_path: Annotated[
        str, Meta(description="Input rows, one JSON object per line.", extra={"metavar": "FILE"})
    ]
    out_dir: Annotated[
        str,
        Meta(
            description="The run goes to OUT_DIR/<model>/<input>...; run again to resume.",
            extra={"metavar": "DIR"},
        ),
    ] = "sampled_outputs"
    image_root: Annotated[
        str | None,
        Meta(
            description="Folder that image paths are relative to; default: beside the input file, then here.",
            extra={"metavar": "DIR"},
        ),
    ] = None
    sample_max_num: Annotated[
        AtLeastOne | None,
        Meta(description="Take at most so many rows: a seeded uniform draw without replacement."),
    ] = None
    sample_start_idx: Annotated[int, Meta(ge=0, description="Leave out the first rows of the input.")] = 0
    shard: Annotated[
        str | None,
        Meta(
            description="Do part I of N (0-based), or `slurm` to read its variables; join with merge-runs.",
            extra={"metavar": "I/N"},
        ),
    ] = None

    dry_run: Annotated[
        bool,
        Meta(description="Print the first prompts and an estimate of requests and tokens; generate nothing."),
    ] = False
    price_per_mtok: Annotated[
        str,
        Meta(
            description="With --dry-run: price of a million tokens, to estimate the cost.",
            extra={"metavar": "PROMPT,GENERATED"},
        ),
    ] = ""

    @property
    def shard_of(self) -> tuple[int, int]:
        """`(index, count)` of `--shard`; `(0, 1)` without it.

        Slurm's variables are read only when asked for: a batch script with 8 tasks that starts one process would
        otherwise silently do an eighth of the work.
        """
        if self.shard is None:
            return 0, 1
        text = _slurm_shard() if self.shard == "slurm" else self.shard
        index, slash, count = text.partition("/")
        if not (slash and index.isdigit() and count.isdigit() and int(index) < int(count)):
            raise PrefdataError(f"--shard {self.shard}: write I/N with 0 <= I < N, such as 0/8, or `slurm`.")
        return int(index), int(count)


def identity(options: EngineOptions) -> dict[str, Any]:
    """The settings that decide the bytes of the result: what `run.json` holds and a resumed run must repeat."""
    values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(options))  # as it will stand in run.json
    kept = {key: value for key, value in values.items() if key not in NEUTRAL} | {
        "tp": options.tensor_parallel
    }
    if isinstance(options, RunOptions):
        # "0/2" and "slurm" with its variables are the same shard; the run is known by what was meant.
        index, count = options.shard_of
        kept["shard"] = f"{index}/{count}" if count > 1 else None
    return kept


def given(options: msgspec.Struct) -> list[str]:
    """The settings that differ from their defaults."""
    fields = msgspec.structs.fields(options)
    return [field.name for field in fields if field.required or getattr(options, field.name) != field.default]


def flag(name: str) -> str:
    """How a setting is written on the command line."""
    return "--" + name.replace("_", "-")


def _slurm_shard() -> str:
    """`I/N` from the variables of an array job, or else of a task.

    An array that is no whole 0..N-1 (some failed tasks that are submitted again) does not say what the shards were.
    """
    if "SLURM_ARRAY_TASK_ID" in os.environ and "SLURM_ARRAY_TASK_COUNT" in os.environ:
        index, count = os.environ["SLURM_ARRAY_TASK_ID"], int(os.environ["SLURM_ARRAY_TASK_COUNT"])
        first = int(os.environ.get("SLURM_ARRAY_TASK_MIN", "0"))
        last = int(os.environ.get("SLURM_ARRAY_TASK_MAX", str(count - 1)))
        if (first, last) != (0, count - 1):
            raise PrefdataError(
                f"--shard slurm: the array is no 0-{count - 1} ({count} tasks from {first} to {last}), so how many "
                'shards there are is unknown; write --shard "$SLURM_ARRAY_TASK_ID/N".'
            )
        return f"{index}/{count}"
    if "SLURM_PROCID" in os.environ and "SLURM_NTASKS" in os.environ:
        return f"{os.environ['SLURM_PROCID']}/{os.environ['SLURM_NTASKS']}"
    raise PrefdataError(
        "--shard slurm: neither an array job's nor a task's Slurm variables are set; write --shard I/N."
    )
