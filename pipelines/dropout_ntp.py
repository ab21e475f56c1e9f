"""DropoutNTP: cut a good answer, take the picture away, let the model go on; what it makes up is the rejected answer.

    rows -> prefix of `chosen` -> request without images -> continuation -> filters -> pairs

`rejected` is the prefix plus the continuation, byte for byte; the pair is the input row with `rejected` and `meta`
set. Where a row makes no pair, dropped.jsonl says why. Question on sight: the prefix is cut again on every start of
the run rather than stored; it hangs only on the row, the settings and the tokenizer, all of which are pinned.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from pipelines.choices import SplitUnit
from pipelines.engines.base import Abilities, Engine, Reply, Request, Sample, Sampling
from pipelines.filters import Keep, reason_against
from pipelines.imageless import without_images
from pipelines.questions import image_files, source_id
from pipelines.rundir import unique_ids
from pipelines.splitting import prefix_of
from prefdata import __version__
from prefdata.errors import PrefdataError
from prefdata.readers import Located
from prefdata.records import Message, Question, content_id, place_media

METHOD = "dropout-ntp"


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """How the pairs are made.

    keep_uncut: rows whose answer cannot be cut are answered anew instead of being dropped.
    """

    model: str
    engine: str
    sampling: Sampling
    seed: int
    n: int = 1
    start_ratio: float = 0.5
    split_unit: SplitUnit = "token"
    keep_image: bool = False
    keep_uncut: bool = False
    keep: Keep = Keep()
    image_root: Path | None = None

    @property
    def suffix(self) -> str:
        """The original's name for this kind of subset."""
        return f"_prefix_pair_sr{self.start_ratio}_{'with' if self.keep_image else 'wo'}_image"


class Asked(msgspec.Struct, frozen=True):
    """One row of the run: its id, the row as it stands in the file, its record, the images to show.

    problem: why the row cannot be asked (an image that is not there), None where it can.
    """

    id: str
    row: dict[str, Any]
    question: Question
    chosen: str
    images: tuple[Path | bytes, ...] = ()
    problem: str | None = None


def asked_of(path: Path, rows: Sequence[Located], recipe: Recipe) -> list[Asked]:
    """Rows with their ids. Raises PrefdataError at a row that has no answer to continue."""
    found: list[tuple[str, dict[str, Any], Question, str]] = []
    for located in rows:
        record = located.record
        if not isinstance(record, Question) or not record.chosen:
            raise PrefdataError(
                f"{path}:{located.line}: no answer to continue; every row needs `question` and `chosen`."
            )
        pictures = [media.uri or content_id(str(media.data)) for media in record.media]
        found.append(
            (
                content_id(pictures, located.row.get("question"), record.chosen),
                located.row,
                record,
                record.chosen,
            )
        )
    ids = unique_ids(identity for identity, _, _, _ in found)
    asked = []
    for identity, (_, row, record, chosen) in zip(ids, found, strict=True):
        shown = record.media if recipe.keep_image else ()
        asked.append(
            Asked(identity, row, record, chosen, *image_files(shown, recipe.image_root, path.parent))
        )
    return asked


class Dropped(Exception):
    """A row that makes no pair, whatever the engine would say; the reason stands in dropped.jsonl."""


def request_of(asked: Asked, recipe: Recipe, engine: Engine) -> Request:
    """What the engine is asked for one row. Raises Dropped."""
    prefix = prefix_of(asked.chosen, recipe.start_ratio, recipe.split_unit, engine.encode, engine.decode)
    if not prefix and recipe.start_ratio > 0 and not recipe.keep_uncut:
        raise Dropped("empty prefix")
    messages: tuple[Message, ...]
    if recipe.keep_image:
        messages = place_media(asked.question.prompt, asked.question.media)
    else:
        messages = tuple(
            without_images(turn) if turn.role == "user" else turn for turn in asked.question.prompt
        )
        if not any(turn.content for turn in messages if turn.role == "user"):
            raise Dropped("empty question: nothing is left without the image")
    return Request(
        id=asked.id,
        messages=messages,
        images=asked.images,
        prefix=prefix,
        n=recipe.n,
        sampling=recipe.sampling,
        seed=recipe.seed,
    )


def result_of(
    asked: Asked, request: Request, reply: Reply, recipe: Recipe, abilities: Abilities
) -> dict[str, Any]:
    """The complete result of one row for the run directory (`dropout_parts.py`)."""
    pairs, dropped = [], []
    seen: set[str] = set()
    for index, sample in enumerate(reply.samples):
        row = asked.row | {
            "rejected": request.prefix + sample.text,
            "meta": _provenance(asked, request, sample, index, recipe, abilities),
        }
        if sample.text in seen:
            reason: str | None = "duplicate sample"
        else:
            reason = reason_against(sample, request.prefix, asked.chosen, recipe.keep)
        seen.add(sample.text)
        if reason is None:
            pairs.append(row)
        else:
            dropped.append({"reason": reason, "row": row})
    tokens = {"prompt": reply.prompt_tokens, "generated": reply.tokens}
    return {"id": asked.id, "tokens": tokens, "pairs": pairs, "dropped": dropped}


def pairs_of(results: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The pairs in the order of the results."""
    for result in results:
        yield from result.get("pairs", ())


def _provenance(
    asked: Asked, request: Request, sample: Sample, index: int, recipe: Recipe, abilities: Abilities
) -> dict[str, Any]:
    meta = {
        "id": asked.id if recipe.n == 1 else f"{asked.id}.{index}",
        "method": METHOD,
        "engine": recipe.engine,
        "model": recipe.model,
        "model_hash": abilities.model_hash,
        "sampling": msgspec.to_builtins(recipe.sampling),
        "seed": sample.seed,
        "template_hash": abilities.template_hash,
        "finish_reason": sample.finish_reason,
        "verdicts": None,
        "version": __version__,
        "start_ratio": recipe.start_ratio,
        "split_unit": recipe.split_unit,
        "with_image": recipe.keep_image,
        "prefix_characters": len(request.prefix),
    }
    if (before := source_id(asked.row)) is not None:
        meta["source_id"] = before
    return meta
