"""`--judge-model`: a model is asked about what the rules leave open. For `judge`, and for `cot-pairs --samples`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from pipelines.cli.options import EngineName, EngineOptions, flag, given
from pipelines.engines import make_engine
from pipelines.judging import Ask, Verdict, version
from pipelines.judging.llm import PROMPT, ModelJudge
from pipelines.output import checkpoint_name
from prefdata.errors import PrefdataError
from prefdata.models import model_hash, resolve_model

OF_MODEL: Final = ("judge_engine", "judge_votes", "judge_base_url", "judge_prompt")
_FOR_A_MODEL: Final = ("nomatch", "near", "conflict", "guard", "timeout")


class Options(Protocol):
    """The flags."""

    @property
    def judge_model(self) -> str: ...
    @property
    def judge_engine(self) -> EngineName: ...
    @property
    def judge_base_url(self) -> str | None: ...
    @property
    def judge_votes(self) -> int: ...
    @property
    def judge_prompt(self) -> str: ...


def model_judge(options: Options, label: str = "") -> ModelJudge:
    """The judge that the flags name, not yet started; `label` as rows will name it (`judged_by`)."""
    prompt = PROMPT
    if options.judge_prompt:
        try:
            prompt = Path(options.judge_prompt).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise PrefdataError(
                f"--judge-prompt {options.judge_prompt}: cannot be read ({error})."
            ) from error
    engine = EngineOptions(
        checkpoint=options.judge_model, engine=options.judge_engine, base_url=options.judge_base_url
    )
    return ModelJudge(
        make_engine(engine),
        votes=options.judge_votes,
        prompt=prompt,
        label=label,
    )


def refuse_without_model(options: msgspec.Struct) -> None:
    """Refuse what is said of the judging model where none is named."""
    found = given(options)
    if "judge_model" not in found:
        for name in found:
            if name in OF_MODEL:
                raise PrefdataError(
                    f"{flag(name)}: there is no --judge-model that it could be for; name one."
                )


def judged_by(options: Options) -> str:
    """What judges, as rows name it: the rules' version, the model and, where its files are here, their hash."""
    name = checkpoint_name(options.judge_model)
    here = (
        options.judge_engine not in ("openai", "replay") and Path(resolve_model(options.judge_model)).is_dir()
    )
    content = f"@{model_hash(resolve_model(options.judge_model))[:8]}" if here else ""
    return f"{version()}+{name}{content}"


def consulted(asks: Sequence[Ask], verdicts: Sequence[Verdict], model: ModelJudge) -> list[Verdict]:
    """The verdicts, with what the model says where the rules say nothing for another reason than form or length."""
    made = list(verdicts)
    left = [
        at
        for at, verdict in enumerate(made)
        if verdict.outcome == "undecided" and verdict.reason in _FOR_A_MODEL and verdict.extracted
    ]
    cases = [(asks[at].question, " / ".join(asks[at].gold), made[at].extracted or "") for at in left]
    for at, said in zip(left, model.decide(cases), strict=True):
        if said.outcome != "undecided" or asks[at].answer_type == "llm":
            made[at] = msgspec.structs.replace(
                made[at], outcome=said.outcome, rule=said.rule, normalised=said.normalised, reason=said.reason
            )
    return made
