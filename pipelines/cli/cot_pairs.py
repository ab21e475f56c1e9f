"""`prefdata cot-pairs`: many answers per question, judged, right paired with wrong."""

from typing import TYPE_CHECKING, Annotated

from msgspec import Meta

from pipelines.cli import judge_model as judge_flags
from pipelines.cli.judged_options import JudgedOptions
from pipelines.cli.options import AtLeastOne
from prefdata.cli.config import GOES_ON, config_command
from prefdata.errors import PrefdataError

if TYPE_CHECKING:
    from pipelines.correctness import Judging
    from pipelines.rounds import Plan


class Config(JudgedOptions, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """What `prefdata cot-pairs` can be told."""

    checkpoint: Annotated[
        str,
        Meta(
            description="Model folder, hub name owner/name, or `demo`; not needed with --samples.",
            extra={"metavar": "M"},
        ),
    ] = ""
    prompt_path: Annotated[
        str, Meta(description="Questions with answers, one JSON object per line.", extra={"metavar": "FILE"})
    ] = ""
    samples: Annotated[
        str,
        Meta(
            description="Judge and pair what was sampled elsewhere (a file, or a folder of them); no engine is used.",
            extra={"metavar": "DIR|FILE"},
        ),
    ] = ""
    num_return_sequences: Annotated[
        int, Meta(ge=1, description="Most samples of one question; rounds of 8 end when it has its pairs.")
    ] = 32
    fixed_n: Annotated[
        bool, Meta(description="Draw all --num-return-sequences of every question, as the original does.")
    ] = False
    num_pairs_per_key: Annotated[int, Meta(ge=1, description="Most pairs of one question.")] = 15
    accuracy_range: Annotated[
        str,
        Meta(
            description="Pairs only where the share of right answers lies in it, such as 0.2,0.8.",
            extra={"metavar": "LOW,HIGH"},
        ),
    ] = "0.0,1.0"
    answer_fix: Annotated[
        bool,
        Meta(description="Chosen: spell a right answer as the reference does, and judge it again."),
    ] = False
    force: Annotated[
        bool,
        Meta(description="Where no sample is right, take the row's own `rationale` as chosen."),
    ] = False
    max_lines: Annotated[
        AtLeastOne | None,
        Meta(description="With --samples: use about so many rows, equally many per question."),
    ] = None

    judge_model: judge_flags.Model = ""
    judge_engine: judge_flags.Engine = "transformers"
    judge_base_url: judge_flags.BaseUrl = None
    judge_votes: judge_flags.Votes = 3
    judge_prompt: judge_flags.Prompt = ""

    @property
    def plan(self) -> "Plan":
        """How many samples each question gets."""
        from pipelines.rounds import SIZE, Plan

        most = self.num_return_sequences
        return Plan(most=most, size=most if self.fixed_n else SIZE, pairs=self.num_pairs_per_key)

    @property
    def judging(self) -> "Judging":
        """What is done with the answers."""
        from pipelines.correctness import Judging

        return Judging(fix=self.answer_fix, force=self.force)

    @property
    def band(self) -> tuple[float, float]:
        """`--accuracy-range` as two numbers."""
        low, comma, high = self.accuracy_range.partition(",")
        try:
            found = float(low), float(high)
        except ValueError:
            comma = ""
        if not comma or not 0.0 <= found[0] <= found[1] <= 1.0:
            raise PrefdataError(
                f"--accuracy-range {self.accuracy_range}: write LOW,HIGH between 0 and 1, such as 0.2,0.8."
            )
        return found


@config_command(
    Config,
    name="cot-pairs",
    section="Generate",
    stopped=GOES_ON,
    examples="""
    prefdata cot-pairs --checkpoint demo --prompt-path questions.jsonl --prompt-version plain --out-dir runs
    prefdata cot-pairs --checkpoint OpenGVLab/InternVL3-8B-hf --engine vllm --prompt-path qa.jsonl --out-dir runs
    prefdata cot-pairs --engine openai --base-url http://gpu7:8000/v1 --checkpoint NAME --prompt-path qa.jsonl
    prefdata cot-pairs --samples sampled_outputs/model/max_tiles_6 --out-dir runs --accuracy-range 0.2,0.8
    """,
)
def command(config: Config) -> int | None:
    """Sample many answers to each question, judge them, and pair right with wrong.

    Writes pairs.jsonl (right against wrong), format_pairs.jsonl (right against no readable answer), hard.jsonl and
    easy.jsonl (questions with only wrong or only right answers), undecided.jsonl and samples.jsonl. What cannot be
    decided is never called wrong. Stop it whenever you like: the same command goes on where it stopped.
    """
    from pipelines.cot_run import run

    return run(config)
