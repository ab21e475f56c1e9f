"""Any input of training or generation as a mixture: a `meta.json`, or one data file as a mixture of one source."""

from pathlib import Path

import msgspec

from prefdata.errors import PrefdataError
from prefdata.mixtures.meta import decode_meta, parse
from prefdata.mixtures.model import Mixture, Source
from prefdata.progress import say
from prefdata.sniff import sniff


def load(path: Path, image_root: Path | None = None) -> Mixture:
    """Read a mixture and tell the format of each source. Raises PrefdataError."""
    path = Path(path)
    sniffed = sniff(path)
    if sniffed.container != "meta":
        source = Source(name=path.stem, annotation=path, root=image_root, format=sniffed.format)
        return Mixture((source,))
    try:
        document = decode_meta(path.read_bytes())
    except ValueError as error:
        raise PrefdataError(f"{path}: not a readable meta.json ({error}).") from error
    for line in document.trailing:
        say(
            f"{path}:{line}: a comma before the closing bracket, ignored here; InternVL's own loader fails on it."
        )
    mixture = parse(path, document, image_root)
    return Mixture(tuple(_with_format(path, source) for source in mixture.sources))


def _with_format(path: Path, source: Source) -> Source:
    if not source.annotation.is_file():
        raise PrefdataError(
            f"{path}: source {source.name!r}: no file {source.annotation}; check `annotation`."
        )
    return msgspec.structs.replace(source, format=sniff(source.annotation).format)
