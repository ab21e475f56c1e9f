"""Token counts by a model's own tokenizer, without importing transformers: `tokenizers` reads tokenizer.json."""

from collections.abc import Callable
from pathlib import Path

from prefdata.errors import PrefdataError
from prefdata.models import DEMO_MODEL, resolve_model


def counter(name: str) -> Callable[[str], int]:
    """A function that counts the tokens of a text. `name` is a model folder, `demo`, or a tokenizer.json."""
    path = Path(resolve_model(name)) if name == DEMO_MODEL else Path(name)
    if path.is_dir():
        path = path / "tokenizer.json"
    if not path.is_file():
        raise PrefdataError(f"--tokenizer {name}: no tokenizer.json there; name a model folder or the file.")
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise PrefdataError(
            "--tokenizer needs the package tokenizers: pip install tokenizers "
            "(the extras generate, vllm, train and demo bring it)."
        ) from error
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:
        raise PrefdataError(f"--tokenizer {name}: {path} cannot be read ({error}).") from error

    def count(text: str) -> int:
        return len(tokenizer.encode(text, add_special_tokens=False).ids)

    return count
