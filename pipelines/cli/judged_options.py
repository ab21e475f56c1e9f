"""Flags of the commands that sample answers to questions and judge them: `cot-pairs` and `step-scores`."""

from pathlib import Path
from typing import Annotated

from msgspec import Meta

from pipelines.choices import PromptVersion
from pipelines.cli.options import RunOptions


class JudgedOptions(RunOptions, kw_only=True, frozen=True):
    """How questions are put, and their answers judged."""

    prompt_version: Annotated[
        PromptVersion,
        Meta(description="How the question is put; plain leaves it as it is (docs/judging.md)."),
    ] = "en_v2"
    prompt_file: Annotated[
        str,
        Meta(
            description="How the question is put: your own text, with {question} in it, in place of a version.",
            extra={"metavar": "FILE"},
        ),
    ] = ""
    temperature: Annotated[float, Meta(ge=0, description="0 is greedy.")] = 1.0
    max_new_tokens: Annotated[int, Meta(ge=1, description="Longest answer, in tokens.")] = 4096
    answer_type: Annotated[
        str,
        Meta(description="How to judge rows without an answer_type of their own.", extra={"metavar": "TYPE"}),
    ] = "auto"

    @property
    def version(self) -> str:
        """How the way of asking is called in rows and folders: `--prompt-version`, or after `--prompt-file`."""
        return f"own_{Path(self.prompt_file).stem}" if self.prompt_file else self.prompt_version
