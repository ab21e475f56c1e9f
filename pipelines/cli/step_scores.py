"""`prefdata step-scores`: how far each step of a solution leads to the right result, by continuing from it."""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from pipelines.cli.judged_options import JudgedOptions
from prefdata.cli.config import GOES_ON, config_command

if TYPE_CHECKING:
    from pipelines.step_walk import Plan


class Config(JudgedOptions, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What `prefdata step-scores` can be told."""

    num_return_sequences: Annotated[int, Meta(ge=1, description="Responses of one question.")] = 4
    num_mc_sequences: Annotated[int, Meta(ge=1, description="Continuations from each step.")] = 16
    max_steps: Annotated[
        int, Meta(ge=1, description="Most steps of a response; with more, neighbours are joined.")
    ] = 12
    no_early_stop: Annotated[
        bool, Meta(description="Go on behind a step from which no continuation came right.")
    ] = False
    mc_threshold: Annotated[
        float, Meta(ge=0, lt=1, description="In prm.jsonl a step is + where its score is above this.")
    ] = 0.0
    include_orm_data: Annotated[
        bool, Meta(description="Write orm.jsonl too: whole responses to be answered with + or -.")
    ] = False

    @property
    def plan(self) -> "Plan":
        """What is asked."""
        from pipelines.step_walk import Plan

        return Plan(
            responses=self.num_return_sequences,
            continuations=self.num_mc_sequences,
            most_steps=self.max_steps,
            early_stop=not self.no_early_stop,
        )


@config_command(
    Config,
    name="step-scores",
    section="Generate",
    stopped=GOES_ON,
    examples="""
    prefdata step-scores --checkpoint demo --prompt-path questions.jsonl --prompt-version plain --out-dir runs
    prefdata step-scores --checkpoint OpenGVLab/InternVL3-8B-hf --engine vllm --prompt-path qa.jsonl --max-steps 16
    """,
)
def command(config: Config) -> int | None:
    """Score each step of a model's solutions by how often a continuation from there comes to the right answer.

    Writes steps.jsonl (each response with its steps and their scores) and prm.jsonl (rows that train a model to judge
    steps). What cannot be decided counts neither way. Stop it whenever you like: the same command goes on where it
    stopped.
    """
    from pipelines.step_run import run

    return run(config)
