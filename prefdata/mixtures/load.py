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
from prefdata.mixtures.yamls import read_own, read_xtuner, repeated_keys
from prefdata.progress import say
from prefdata.sniff import sniff

# Missing files named in one error.
_NAMED = 5
# A mixture is a short text; anything longer that is no JSON is not one.
_MAX_TEXT = 4 * 1024 * 1024
_MAX_INFO = 64 * 1024 * 1024


def load(path: Path, image_root: Path | None = None) -> Mixture:
    """Read a mixture, say what was strange, and tell the format of each source. Raises PrefdataError."""
    path = Path(path)
    mixture = listed(path, image_root)
    if mixture is None:
        try:
            sniffed = sniff(path)
        except PrefdataError:
            _refuse_broken_meta(path)
            raise
        if sniffed.container != "meta":
            source = Source(name=path.stem, annotation=path, root=image_root, format=sniffed.format)
            return Mixture((source,), "file")
        mixture = _meta(path, image_root)
    if not mixture.sources:
        raise PrefdataError(f"{path}: a mixture without sources; name at least one.")
    _refuse_missing(path, mixture)
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
        for line, key in repeated_keys(yaml.compose(text, yaml.SafeLoader)):
            raise PrefdataError(f"{path}:{line}: a second `{key}`, where the first would be lost; keep one.")
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise PrefdataError(f"{path}: not valid YAML ({' '.join(str(error).split())}).") from error
    except RecursionError:
        raise PrefdataError(f"{path}: not valid YAML (nested too deeply).") from None


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


def _refuse_broken_meta(path: Path) -> None:
    """Raises PrefdataError where a file that no row can be read from was meant as a meta.json."""
    if not path.is_file() or path.stat().st_size > _MAX_TEXT:
        return
    data = path.read_bytes()
    if not data.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{") or b"annotation" not in data:
        return
    try:
        decode_meta(data)
    except ValueError as error:
        place = re.search(r"byte (\d+)", str(error))
        line = data.count(b"\n", 0, int(place[1])) + 1 if place else 1
        raise PrefdataError(f"{path}:{line}: not a readable meta.json ({error}).") from error


def _refuse_missing(path: Path, mixture: Mixture) -> None:
    """Raises PrefdataError where files of sources are not there: all at once, as far as a sentence can hold them."""
    missing = [source for source in mixture.sources if not source.annotation.is_file()]
    if len(missing) == 1:
        (one,) = missing
        raise PrefdataError(f"{path}: source {one.name!r}: no file {one.annotation}; check the path.")
    if missing:
        named = ", ".join(str(source.annotation) for source in missing[:_NAMED])
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise PrefdataError(
            f"{path}: {len(missing)} of {len(mixture.sources)} sources: no file {named}{more}; check the paths."
        )


def _with_format(path: Path, source: Source) -> Source:
    if source.format is not None:
        return source
    try:
        sniffed = sniff(source.annotation)
        nested = sniffed.container == "meta"
    except PrefdataError:
        if listed(source.annotation) is None:
            raise
        nested = True
    if nested:
        raise PrefdataError(
            f"{path}: source {source.name!r}: {source.annotation} is a mixture itself; name a data file."
        )
    return msgspec.structs.replace(source, format=sniffed.format)
