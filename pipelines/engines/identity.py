"""Which model and template made a sample: short hashes for the provenance of every row.

A model in a local folder is known by its content. Reading every byte of a 150 GB checkpoint would take minutes, so
a weight file counts by its size, its header (tensor names, types, shapes) and evenly spread pieces of its body;
small files count whole. A fine-tune changes all weights a little and therefore every piece; what is not seen is an
edit by hand of a few values between the pieces. A hub model's files are found in the local cache first; where they are
not, its name alone counts.
"""

from pathlib import Path

import xxhash

_WEIGHTS = {".safetensors", ".bin", ".gguf", ".pt", ".pth"}
# What changes what a model says. Cards, optimizer states and training arguments do not.
_SMALL = {".json", ".jinja", ".txt", ".model", ".py"}
_NOT_THE_MODEL = {"trainer_state.json", "training_args.bin", "all_results.json", "train_results.json"}
_PIECES = 64
_PIECE_BYTES = 64 * 1024


def template_hash(template: str) -> str:
    """A short hash of a chat template's text."""
    return xxhash.xxh3_64_hexdigest(template.encode())


def model_hash(model: str) -> str:
    """A short hash of a model: the content of its folder, or its name where there is no folder to read."""
    folder = _folder(model)
    digest = xxhash.xxh3_128()
    if folder is None:
        digest.update(model.encode())
    else:
        for path in sorted(folder.iterdir()):
            if path.name in _NOT_THE_MODEL or not path.is_file():
                continue
            if path.suffix in _WEIGHTS:
                _add(digest, path, whole=False)
            elif path.suffix in _SMALL:
                _add(digest, path, whole=True)
    return str(digest.hexdigest())


def _folder(model: str) -> Path | None:
    if Path(model).is_dir():
        return Path(model)
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(model, "config.json")
    return Path(found).parent if isinstance(found, str) else None


def _add(digest: "xxhash.xxh3_128", path: Path, *, whole: bool) -> None:
    size = path.stat().st_size
    digest.update(f"{path.name}\0{size}\0".encode())
    with open(path, "rb") as stream:
        if whole or size <= _PIECES * _PIECE_BYTES:
            digest.update(stream.read())
            return
        head = int.from_bytes(stream.read(8), "little") if path.suffix == ".safetensors" else 0
        digest.update(stream.read(min(head, size)))
        for piece in range(_PIECES):
            stream.seek((size - _PIECE_BYTES) * piece // (_PIECES - 1))
            digest.update(stream.read(_PIECE_BYTES))
