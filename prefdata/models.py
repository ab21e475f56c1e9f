"""Where a model is, and which one it is: the name `demo` stands for the bundled one wherever a model is asked for.

A model in a folder is known by its content. Reading every byte of a 150 GB checkpoint would take minutes, so a large
weight file counts by its size, its header and pieces of its body: one piece of every tensor of a safetensors file,
evenly spread ones of any other. Training a tensor changes nearly all of its values and so its piece; what is not seen
is an edit by hand of a few values. A hub model's files are found in the local cache; where they are not, its name
alone counts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import xxhash

from prefdata.errors import PrefdataError

DEMO_MODEL = "demo"
_WEIGHTS = {".safetensors", ".bin", ".gguf", ".pt", ".pth"}
# What changes what a model says. Cards, optimizer states and training arguments do not.
_SMALL = {".json", ".jinja", ".txt", ".model", ".py"}
_NOT_THE_MODEL = {
    "trainer_state.json",
    "training_args.bin",
    "all_results.json",
    "train_results.json",
    "train.json",
}
_READ_WHOLE = 16 * 2**20
_PIECE = 4096
_PIECES = 1024
"""Pieces of a file whose tensors are not known."""


def resolve_model(name: str) -> str:
    """The folder of a model, checked to exist.

    A name with neither a folder behind it nor the form `owner/name` of a hub model is refused here, before an
    engine spends a minute on starting.
    """
    if name == DEMO_MODEL:
        return str(Path(__file__).parent / "demo" / "model")
    if not name:
        raise PrefdataError("No model given: name a model folder, a hub model such as owner/name, or `demo`.")
    path = Path(name).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file() and not (path / "adapter_config.json").is_file():
            raise PrefdataError(
                f"{name}: no config.json in this folder; a model folder as transformers saves it is needed."
            )
        return str(path)
    if name.count("/") == 1 and not name.startswith((".", "/", "~")):
        return name
    raise PrefdataError(
        f"{name}: no such model folder; name a folder with a config.json, owner/name, or `demo`."
    )


def model_folder(name: str) -> Path | None:
    """The folder that holds a model's files: its own, or the local copy of a hub model; None where there is none."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(name, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def model_hash(name: str) -> str:
    """A short hash of a model: the content of its folder, or its name where there is no folder to read."""
    folder = model_folder(name)
    digest = xxhash.xxh3_128()
    if folder is None:
        digest.update(name.encode())
        return digest.hexdigest()
    for path in sorted(folder.iterdir()):
        kind = path.suffix
        if path.name in _NOT_THE_MODEL or kind not in _WEIGHTS | _SMALL or not path.is_file():
            continue
        size = path.stat().st_size
        digest.update(f"{path.name}\0{size}\0".encode())
        with open(path, "rb") as stream:
            if kind in _SMALL or size <= _READ_WHOLE:
                digest.update(stream.read())
                continue
            for place, length in _pieces(stream, size, tensors=kind == ".safetensors"):
                stream.seek(place)
                digest.update(stream.read(length))
    return digest.hexdigest()


def _pieces(stream: BinaryIO, size: int, *, tensors: bool) -> Iterator[tuple[int, int]]:
    """(offset, length) of what counts of a large weight file."""
    if not tensors:
        yield from (((size - _PIECE) * piece // (_PIECES - 1), _PIECE) for piece in range(_PIECES))
        return
    body = 8 + int.from_bytes(stream.read(8), "little")
    yield 0, body
    stream.seek(8)
    try:
        header = msgspec.json.decode(stream.read(body - 8), type=dict[str, dict[str, Any]])
        ends = sorted(entry["data_offsets"] for name, entry in header.items() if name != "__metadata__")
    except (msgspec.DecodeError, KeyError) as error:
        raise PrefdataError(
            f"{stream.name}: not a safetensors file ({error}); copy the model again."
        ) from error
    for start, end in ends:
        yield body + max(start, (start + end - _PIECE) // 2), min(_PIECE, end - start)
