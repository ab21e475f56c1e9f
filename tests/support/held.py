"""What a training program must hold after it has loaded a converted file: the record of the row it was made from.

Where it stands: the tests of `tests/consumers` convert real files by the command itself, let another program load the
result, and compare. The record is read from the *source*, so that a writer and a reader of ours that agree on a wrong
row are found out.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from prefdata.readers import read_rows
from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Media,
    Message,
    PreferencePair,
    Record,
    Text,
    place_media,
)
from tests.support.program import prefdata

Turns = list[tuple[str, str]]


class Held(NamedTuple):
    """A row in the terms that all training programs share: turns with `<image>` at the places of media."""

    prompt: Turns
    # The sides of a pair, or the one answer that is left.
    answers: list[Turns]
    media: list[str]


def run(*arguments: str | Path) -> str:
    """A command of prefdata; its standard output."""
    done = prefdata(*arguments, cwd=Path.cwd())
    assert done.returncode == 0, f"{' '.join(done.args)}\n{done.stdout}{done.stderr}"
    return done.stdout


def convert(source: Path, target: Path, to: str, *options: str) -> int:
    """Convert by the command, with its own proof, and see that no row is left out; how many rows there are."""
    target.parent.mkdir(parents=True, exist_ok=True)
    outcome = json.loads(
        run("convert", source, target, "--to", to, "--verify", "--output-format", "json", "-q", *options)
    )
    assert outcome["read"] == outcome["written"] > 0, outcome
    return int(outcome["written"])


def expected(source: Path, root: Path | None = None, *, front: str = "\n") -> list[Held]:
    """What the rows of a file say. root: where media paths start; front: what stands behind an image without place."""
    return [held(located.record, root or Path(), front) for located in read_rows(source)]


def held(record: Record, root: Path, front: str) -> Held:
    """One record; a conversation is cut before its last turn."""
    if isinstance(record, PreferencePair):
        prompt, answers = record.prompt, [record.chosen, record.rejected]
    elif isinstance(record, LabelledAnswer):
        prompt, answers = record.prompt, [record.answer]
    else:
        assert isinstance(record, Conversation)
        prompt, answers = record.messages[:-1], [record.messages[-1:]]
    prompt = place_media(prompt, record.media, front)
    order = [index for turn in prompt for index in turn.media_indexes]
    return Held(
        _turns(prompt, record.media),
        [_turns(answer, record.media) for answer in answers],
        [_place(root, str(record.media[index].uri)) for index in order],
    )


def compare(found: list[Held], wanted: list[Held], name: str) -> None:
    """Every row, in order; the first that differs is shown."""
    for number, (one, other) in enumerate(zip(found, wanted, strict=False)):
        assert one == other, f"{name}, row {number}"
    assert len(found) == len(wanted), f"{name}: {len(wanted)} rows were written, {len(found)} are held"


def roles(turns: list[dict[str, Any]], names: dict[str, str], text: Callable[[Any], str] = str) -> Turns:
    """Turns of {role, content} under our names of roles."""
    return [(names.get(turn["role"], turn["role"]), text(turn["content"])) for turn in turns]


def _place(root: Path, uri: str) -> str:
    """Addresses and files that are not there stay as they are written."""
    path = os.path.join(root, uri)
    return path if os.path.isfile(path) else uri


def _turns(turns: tuple[Message, ...], media: tuple[Media, ...]) -> Turns:
    return [(turn.role, "".join(_part(part, media) for part in turn.content)) for turn in turns]


def _part(part: Any, media: tuple[Media, ...]) -> str:
    return part.text if isinstance(part, Text) else f"<{media[part.index].kind}>"
