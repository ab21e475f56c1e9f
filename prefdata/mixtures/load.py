"""Any input of training or generation as a mixture; which kind of file it is, is told by its content.

`meta.json` (internvl), `data.txt`, XTuner lists, prefdata's own YAML, `dataset_info.json`, `path#N` - or one data file,
which is a mixture of one source.
"""

import re
from pathlib import Path
from typing import Any

import msgspec

from prefdata.errors import PrefdataError
from prefdata.mixtures.datasetinfo import looks_like_info, read_info
from prefdata.mixtures.lists import counted_source, read_lists
from prefdata.mixtures.meta import decode_meta, parse
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.yamls import read_own, read_xtuner
from prefdata.progress import say
from prefdata.sniff import sniff

# A mixture is a short text; anything longer that is no JSON is not one.
_MAX_TEXT = 4 * 1024 * 1024
_MAX_INFO = 64 * 1024 * 1024


def load(path: Path, image_root: Path | None = None) -> Mixture:
    """Read a mixture, say what was strange, and tell the format of each source. Raises PrefdataError."""
    path = Path(path)
    mixture = listed(path, image_root)
    if mixture is None:
        sniffed = sniff(path)
        if sniffed.container != "meta":
            source = Source(name=path.stem, annotation=path, root=image_root, format=sniffed.format)
            return Mixture((source,), "file")
        mixture = _meta(path, image_root)
    for note in mixture.notes:
        say(note)
    return msgspec.structs.replace(
        mixture, sources=tuple(_with_format(path, source) for source in mixture.sources)
    )


def listed(path: Path, image_root: Path | None = None) -> Mixture | None:
    """The mixture as it is written, its files not looked at; None for a meta.json or a data file."""
    return _counted(path, image_root) or _text(path, image_root) or _info(path, image_root)


def _counted(path: Path, image_root: Path | None) -> Mixture | None:
    if path.exists() or (source := counted_source(Path(), str(path), image_root)) is None:
        return None
    return Mixture((source,), "swift")


def _text(path: Path, image_root: Path | None) -> Mixture | None:
    """A mixture written as lines or YAML; None for JSON, parquet and whatever else."""
    if not path.is_file() or path.stat().st_size > _MAX_TEXT:
        return None
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    if not data.strip() or data.lstrip()[:1] in (b"{", b"[") or b"\0" in data or data.startswith(b"PAR1"):
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    if re.search(r"^(data_paths|sources)\s*:", text, re.MULTILINE):
        document = _yaml(path, text)
        if isinstance(document, dict) and "data_paths" in document:
            return read_xtuner(path, document, image_root)
        if isinstance(document, dict) and "sources" in document:
            return read_own(path, document, image_root)
    if re.search(
        r"(?:\.jsonl?|\.parquet)(?:\.gz|\.zst)?[\"']?(?:\s+\S+)?(?:\s+\S+)?\s*$|#\d+\s*$", text, re.MULTILINE
    ):
        return read_lists(path, text, image_root)
    return None


def _yaml(path: Path, text: str) -> Any:
    import yaml

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PrefdataError(f"{path}: not valid YAML ({' '.join(str(error).split())}).") from error


def _info(path: Path, image_root: Path | None) -> Mixture | None:
    if not path.is_file() or path.stat().st_size > _MAX_INFO:
        return None
    with open(path, "rb") as stream:
        head = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    # Rows of a JSONL file are told apart before a large file is decoded for nothing.
    if not head.startswith(b"{") or (b'"file_name"' not in head and b"_url" not in head):
        return None
    try:
        document = msgspec.json.decode(path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError):
        return None
    return read_info(path, document, image_root) if looks_like_info(document) else None


def _meta(path: Path, image_root: Path | None) -> Mixture:
    try:
        document = decode_meta(path.read_bytes())
    except ValueError as error:
        raise PrefdataError(f"{path}: not a readable meta.json ({error}).") from error
    notes = tuple(
        f"{path}:{line}: a comma before the closing bracket, ignored here; InternVL's own loader fails on it."
        for line in document.trailing
    )
    mixture = parse(path, document, image_root)
    return Mixture(mixture.sources, "meta", notes, {"internvl": notes[0]} if notes else {})


def _with_format(path: Path, source: Source) -> Source:
    if not source.annotation.is_file():
        raise PrefdataError(f"{path}: source {source.name!r}: no file {source.annotation}; check the path.")
    if source.format is not None:
        return source
    sniffed = sniff(source.annotation)
    if sniffed.container == "meta":
        raise PrefdataError(
            f"{path}: source {source.name!r}: {source.annotation} is a mixture itself; name a data file."
        )
    return msgspec.structs.replace(source, format=sniffed.format)
