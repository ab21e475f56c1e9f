"""`prefdata mix write --container parquet`: pairs as parquet with the images inside, as `datasets` and TRL load them.

Columns: images (list of {bytes, path}, declared to `datasets` as images), prompt, chosen, rejected (messages of typed
parts), source, meta (JSON text, since every source carries other keys). The decision to question: only pairs of
that content; rows with anything more (tool calls, a margin) are refused and have JSON lines.
"""

from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec

from prefdata.atomic import atomic_writer
from prefdata.errors import PrefdataError
from prefdata.formats import BadRow, get
from prefdata.images import resolve
from prefdata.mixtures.draw import Epoch
from prefdata.mixtures.gather import COPIED, Gatherer
from prefdata.mixtures.index import Index, file_hash
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.outputs import Written, cut, finish, staging
from prefdata.mixtures.plan import Plan
from prefdata.progress import progress
from prefdata.records import Media, Message, PreferencePair, Text, place_media

_BATCH = 256


def write_parquet(
    folder: Path, mixture: Mixture, indexes: Sequence[Index], drawn: Epoch, plan: Plan, *, shards: int = 1
) -> Written:
    """Write the epoch into `folder`. Raises PrefdataError where a row is no pair or an image is missing."""
    import pyarrow
    import pyarrow.parquet

    schema = _schema()
    files: dict[str, dict[str, Any]] = {}
    size = 0
    parts = cut(len(drawn), shards, "parquet")
    with (
        staging(folder) as staged,
        progress("mix write", len(drawn)) as bar,
        closing(Gatherer(indexes, [COPIED] * len(indexes))) as reader,
    ):
        for part in parts:
            path = staged / part.name
            with atomic_writer(path) as out, pyarrow.parquet.ParquetWriter(out, schema) as writer:
                for begin in range(part.first, part.last, _BATCH):
                    codes = drawn.packed[begin : min(begin + _BATCH, part.last)]
                    rows = list(_rows(codes, mixture, reader))
                    writer.write_table(pyarrow.Table.from_pylist(rows, schema))
                    bar.advance(len(rows))
            files[part.name] = {"rows": part.last - part.first, "hash": file_hash(path)}
            size += path.stat().st_size
        # The images are inside: the folder itself serves as the root that a meta.json names.
        finish(folder, staged, files, plan, "trl", folder)
    return Written(folder=str(folder), files=list(files), rows=len(drawn), bytes=size, root=str(folder))


def _schema() -> Any:
    import pyarrow as pa

    text = pa.string()
    messages = pa.list_(
        pa.struct([("role", text), ("content", pa.list_(pa.struct([("type", text), ("text", text)])))])
    )
    value = {"dtype": "string", "_type": "Value"}
    turns = [{"role": value, "content": [{"type": value, "text": value}]}]
    features = {
        "images": {"feature": {"_type": "Image"}, "_type": "List"},
        "prompt": turns, "chosen": turns, "rejected": turns, "source": value, "meta": value,
    }  # fmt: skip
    metadata = {"huggingface": msgspec.json.encode({"info": {"features": features}}).decode()}
    columns = [
        ("images", pa.list_(pa.struct([("bytes", pa.binary()), ("path", text)]))),
        ("prompt", messages), ("chosen", messages), ("rejected", messages), ("source", text), ("meta", text),
    ]  # fmt: skip
    return pa.schema(columns, metadata=metadata)


def _rows(codes: "array[int]", mixture: Mixture, reader: Gatherer) -> Iterator[dict[str, Any]]:
    for (number, row), data in zip(Epoch(codes), reader.lines(codes), strict=True):
        source = mixture.sources[number]
        place = f"{source.annotation}: row {row + 1}"
        try:
            record = get(str(source.format)).to_record(msgspec.json.decode(data))
        except BadRow as error:
            raise PrefdataError(f"{place}: {error}; run `prefdata validate` for all problems.") from error
        if not isinstance(record, PreferencePair):
            raise PrefdataError(f"{place}: is not a pair; write JSON lines instead of parquet.")
        if what := _beyond(record):
            raise PrefdataError(
                f"{place}: has {what}, for which the parquet files have no column; write JSON lines instead."
            )
        prompt = place_media(record.prompt, record.media)
        yield {
            "images": [_image(media, source, place) for media in record.media],
            "prompt": _turns(prompt), "chosen": _turns(record.chosen), "rejected": _turns(record.rejected),
            "source": source.name, "meta": msgspec.json.encode(_meta(record)).decode(),
        }  # fmt: skip


def _meta(record: PreferencePair) -> dict[str, Any]:
    return record.meta if record.id is None else {"id": record.id} | record.meta


def _beyond(record: PreferencePair) -> str | None:
    """What would be lost without a word."""
    turns = (*record.prompt, *record.chosen, *record.rejected)
    if record.rejected_media is not None:
        return "other images for the rejected side"
    if record.margin is not None:
        return "a margin"
    if any(turn.calls or turn.role == "tool" for turn in turns):
        return "tool calls"
    if any(turn.reasoning for turn in turns):
        return "a reasoning text"
    if any(turn.name for turn in turns):
        return "names of speakers"
    return "keys beside an image" if any(item.extra for item in record.media) else None


def _image(media: Media, source: Source, place: str) -> dict[str, Any]:
    if media.kind != "image":
        raise PrefdataError(f"{place}: has a {media.kind}; write JSON lines instead of parquet.")
    if media.data is not None:
        return {"bytes": media.data, "path": media.uri}
    path = resolve(str(media.uri), source.root, source.annotation.parent)
    try:
        return {"bytes": path.read_bytes(), "path": path.name}
    except OSError as error:
        raise PrefdataError(
            f"{place}: image {path}: {error.strerror}; parquet holds the images themselves."
        ) from error


def _turns(turns: Sequence[Message]) -> list[dict[str, Any]]:
    return [
        {
            "role": turn.role,
            "content": [
                {"type": "text", "text": part.text}
                if isinstance(part, Text)
                else {"type": "image", "text": None}
                for part in turn.content
            ],
        }
        for turn in turns
    ]
