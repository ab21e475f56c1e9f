"""Mean tokens of a row of a source: text by the model's tokenizer, images by InternVL's tiles, on a sample of rows."""

from array import array
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random

import msgspec

from prefdata.errors import PrefdataError
from prefdata.formats import BadRow, get
from prefdata.images import is_url, resolve
from prefdata.mixtures.gather import COPIED, Gatherer
from prefdata.mixtures.index import Index
from prefdata.mixtures.model import Source
from prefdata.records import Media
from prefdata.stats import answers_of, prompt_of
from prefdata.stats.pictures import size_of
from prefdata.stats.tokens import counter
from prefdata.tiling import TOKENS_PER_TILE, internvl_tiles

_ROWS = 1000


def row_tokens(tokenizer: str, most: int) -> Callable[[Source, Index], float]:
    """A function that estimates the mean tokens of a row: prompt, images and every answer, template left out."""
    count = counter(tokenizer)

    def mean(source: Source, index: Index) -> float:
        chosen = Random(0).sample(range(len(index)), min(_ROWS, len(index)))
        tiles = source.max_dynamic_patch or most
        reader = get(str(source.format))
        total = 0
        with closing(Gatherer([index], [COPIED])) as rows:
            for row in sorted(chosen):
                (line,) = rows.lines(array("Q", [row]))
                try:
                    record = reader.to_record(msgspec.json.decode(line))
                except BadRow as error:
                    raise PrefdataError(f"{source.annotation}: row {row + 1}: {error}.") from error
                total += sum(count(turn.text) for turn in prompt_of(record))
                total += sum(count(answer.text) for answer in answers_of(record))
                total += sum(_image(media, source, tiles) for media in record.media if media.kind == "image")
        return total / len(chosen)

    return mean


def _image(media: Media, source: Source, most: int) -> int:
    found: Path | bytes | None = media.data
    if found is None and media.uri is not None and not is_url(media.uri):
        found = resolve(media.uri, source.root, source.annotation.parent)
    size = size_of(found) if found is not None else None
    # An image that is not there counts as one tile: the plan is of rows, `validate` finds missing files.
    return TOKENS_PER_TILE * (internvl_tiles(*size, most) if size else 1)
