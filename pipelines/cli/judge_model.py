"""The flags of `--judge-model`, which `judge` and `cot-pairs` share: types of fields, each with its help."""

from typing import Annotated

from msgspec import Meta

from pipelines.cli.options import AtLeastOne, EngineName

Model = Annotated[
    str,
    Meta(
        description="Model that judges rows of type llm, and what the rules leave undecided.",
        extra={"metavar": "M"},
    ),
]
Engine = Annotated[EngineName, Meta(description="What runs the judging model.")]
BaseUrl = Annotated[
    str | None, Meta(description="Server of --judge-engine openai.", extra={"metavar": "URL"})
]
Votes = Annotated[AtLeastOne, Meta(description="Votes of the judging model; more than half decide.")]
Prompt = Annotated[
    str,
    Meta(
        description="File with a prompt of your own: {question}, {reference}, {answer} are filled in.",
        extra={"metavar": "FILE"},
    ),
]
