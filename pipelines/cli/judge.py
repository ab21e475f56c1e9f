"""`prefdata judge`: a verdict for every row of a file of predictions."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from pipelines.cli import judge_model as judge_flags
from prefdata.cli.config import config_command


class Config(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What `prefdata judge` can be told."""

    file: Annotated[
        str,
        Meta(
            description="Rows with a prediction and an answer.",
            extra={"argument": True, "metavar": "FILE.jsonl"},
        ),
    ]
    prediction_key: Annotated[
        str,
        Meta(
            description="Key of the prediction; default: prediction, else response.", extra={"metavar": "KEY"}
        ),
    ] = ""
    answer_key: Annotated[
        str,
        Meta(description="Key of the reference; default: answers, else answer.", extra={"metavar": "KEY"}),
    ] = ""
    answer_type: Annotated[
        str,
        Meta(
            description="auto, choice, yesno, number, text, math, latex, anls, relaxed, vqa, regex or llm; "
            "a row's own answer_type wins.",
            extra={"metavar": "TYPE"},
        ),
    ] = "auto"
    anchored: Annotated[
        bool,
        Meta(description="Only an answer behind a marker, in a box or a tag counts, as for cot-pairs."),
    ] = False
    relative_tolerance: Annotated[float, Meta(ge=0, description="Share by which a number may differ.")] = 0.0
    absolute_tolerance: Annotated[float, Meta(ge=0, description="Amount by which a number may differ.")] = 0.0
    math_verify: Annotated[
        Literal["auto", "on", "off"],
        Meta(description="Ask math-verify what the rules of maths leave open; auto: where it is installed."),
    ] = "auto"
    explain: Annotated[bool, Meta(description="Print the steps of each judgement, for people, not JSON.")] = (
        False
    )
    audit: Annotated[
        str,
        Meta(
            description="Write 200 verdicts to check by eye, spread over the rules.",
            extra={"metavar": "FILE.jsonl"},
        ),
    ] = ""
    judge_model: judge_flags.Model = ""
    judge_engine: judge_flags.Engine = "transformers"
    judge_base_url: judge_flags.BaseUrl = None
    judge_votes: judge_flags.Votes = 3
    judge_prompt: judge_flags.Prompt = ""
    label_key: Annotated[
        str,
        Meta(
            description="Key of a label (true or false, 1 or 0): adds the agreement with it to the summary.",
            extra={"metavar": "KEY"},
        ),
    ] = ""


@config_command(
    Config,
    name="judge",
    section="Generate",
    examples="""
    prefdata judge predictions.jsonl > verdicts.jsonl
    prefdata judge predictions.jsonl --explain
    prefdata judge predictions.jsonl --judge-model Qwen/Qwen3-8B --judge-engine vllm
    prefdata judge samples.jsonl --prediction-key response --anchored --label-key is_correct
    """,
)
def command(config: Config) -> None:
    """Say correct, wrong or undecided for each row, with the rule that decided.

    One JSON line per row on standard output, a summary on standard error. A prediction may be the bare answer or a
    text that holds it; --anchored asks for a marker. A row's `question`, `options` (or `choices`) and `finish_reason`
    are used where it has them. What the rules leave open stays undecided, unless --judge-model names a model to ask.
    """
    from pipelines.judge_run import run

    run(config)
