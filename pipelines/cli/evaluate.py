"""`prefdata eval`: accuracy of a model on questions with answers."""

from typing import Annotated

from msgspec import Meta

from pipelines.choices import PromptVersion
from pipelines.cli.options import AtLeastOne, SamplingOptions
from prefdata.cli.config import GOES_ON, STARTS_ANEW, config_command


class Config(SamplingOptions, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What `prefdata eval` can be told."""

    data: Annotated[
        str,
        Meta(description="Questions with answers, one JSON object per line.", extra={"metavar": "QA.jsonl"}),
    ]
    out_dir: Annotated[
        str,
        Meta(
            description="Keep samples.jsonl and resume here; default: keep nothing.", extra={"metavar": "DIR"}
        ),
    ] = ""
    image_root: Annotated[
        str | None,
        Meta(
            description="Folder that image paths are relative to; default: beside the data, then here.",
            extra={"metavar": "DIR"},
        ),
    ] = None
    prompt_version: Annotated[
        PromptVersion,
        Meta(description="How the question is put; plain leaves it as it is (docs/judging.md)."),
    ] = "en_v2"
    temperature: Annotated[float, Meta(ge=0, description="0 is greedy.")] = 0.0
    sample_max_num: Annotated[
        AtLeastOne | None, Meta(description="Take at most so many rows, drawn by the seed.")
    ] = None


@config_command(
    Config,
    name="eval",
    section="Generate",
    stopped=lambda config: GOES_ON if config.out_dir else STARTS_ANEW,
    examples="""
    prefdata eval --checkpoint demo --data held_out.jsonl --prompt-version plain
    prefdata eval --engine openai --base-url http://gpu7:8000/v1 --checkpoint NAME --data qa.jsonl
    prefdata eval --checkpoint trained/model --engine vllm --data qa.jsonl --out-dir eval/model
    """,
)
def command(config: Config) -> int:
    """Ask a model questions with known answers and print its accuracy with a 95 % (Wilson) interval.

    Judged by the same rules as pairs; neither an undecided answer nor a question that failed counts as right. Prints
    one JSON object: questions, with_answer, correct, wrong, undecided, accuracy, ci95, per_type; accuracy is the mean
    over questions of their share of right samples. Rows without `answer` are sampled, not judged.
    """
    from pipelines.evaluate import run

    return run(config)
