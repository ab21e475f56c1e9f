"""`prefdata dropout-ntp`: cut good answers, let the model go on without the picture, keep the pairs."""

from typing import Annotated

from msgspec import Meta

from pipelines.choices import SplitUnit
from pipelines.cli.options import RunOptions
from prefdata.cli.config import GOES_ON, config_command


class Config(RunOptions, kw_only=True, frozen=True):
    """What `prefdata dropout-ntp` can be told."""

    prompt_path: Annotated[
        str,
        Meta(description="Rows with `question`, `chosen` and perhaps `image`.", extra={"metavar": "FILE"}),
    ]
    start_ratio: Annotated[
        float, Meta(ge=0, lt=1, description="Share of the answer that is kept; 0 samples a whole answer.")
    ] = 0.5
    split_unit: Annotated[SplitUnit, Meta(description="What the share is counted in.")] = "token"
    keep_image: Annotated[
        bool,
        Meta(
            description="Show the images to the model (the original's --load-image).",
            extra={"flags": ["--load-image"]},
        ),
    ] = False
    min_new_tokens: Annotated[
        int | None,
        Meta(description="Of the original's first version; refused: what says nothing is dropped anyway."),
    ] = None
    keep_empty_prefix: Annotated[
        bool, Meta(description="Sample a whole answer where the given one is too short to be cut.")
    ] = False
    keep_truncated: Annotated[bool, Meta(description="Keep answers that hit --max-new-tokens.")] = False
    keep_same: Annotated[
        bool, Meta(description="Keep continuations equal or nearly equal to the original.")
    ] = False
    keep_commentary: Annotated[bool, Meta(description='Keep answers like "I cannot see the image".')] = False
    keep_language: Annotated[
        bool, Meta(description="Keep continuations in another language than the given answer.")
    ] = False
    keep_repetition: Annotated[
        bool, Meta(description="Keep continuations that say the same again and again.")
    ] = False


@config_command(
    Config,
    name="dropout-ntp",
    section="Generate",
    stopped=GOES_ON,
    examples="""
    prefdata dropout-ntp --checkpoint demo --prompt-path answers.jsonl --out-dir runs --temperature 1 --top-k 0
    prefdata dropout-ntp --checkpoint OpenGVLab/InternVL3-8B-hf --engine vllm --tp 2 --prompt-path answers.jsonl
    prefdata dropout-ntp --engine openai --base-url http://gpu7:8000/v1 --checkpoint M --config run.yaml
    prefdata dropout-ntp --checkpoint demo --prompt-path answers.jsonl --dry-run
    """,
)
def command(config: Config) -> int | None:
    """Make preference pairs by DropoutNTP: keep the first part of a good answer and let the model continue it without
    the image. Killed at any moment, the same command goes on where it stopped.
    """
    from pipelines.dropout_run import run
    from prefdata.errors import PrefdataError

    if config.min_new_tokens is not None:
        raise PrefdataError(
            f"--min-new-tokens {config.min_new_tokens}: forcing a model to go on behind its end makes it ramble; "
            "empty continuations are dropped with a reason, so leave the flag out."
        )
    return run(config)
