"""Names of what is cached: hashes of everything that a cached value depends on.

Where it stands: `grow.py` names tokenised trees with it, `reference.py` reference log-probabilities. The decision to
question: the tokenizer and the processor count as they are in memory, with every setting, not as files in a folder, so
that a changed option of this program counts as well; and so do the modules that make trees. A key that changes too
often costs a pass over the data, one that does not change costs a model.
"""

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import xxhash

from prefdata.errors import PrefdataError
from prefdata.mixtures import Mixture
from prefdata.models import model_hash
from prefdata.records import content_id
from trainers.families import Opened

_CODE = ("build.py", "families.py", "filters.py", "frames.py", "pixels.py", "trees.py", "treestore.py")
"""Modules of ours that decide what a tree is made of."""
_PASS = ("attention.py", "forest.py", "logprobs.py", "positions.py", "rows.py")
"""Modules of ours that decide what a pass over a tree gives."""
_READ = 1 << 22


def processor_key(opened: Opened) -> str:
    """A hash of what turns texts and images into a model's inputs: tokenizer, chat template, image settings."""
    tokenizer, processor = opened.tokenizer, opened.processor
    backend = getattr(tokenizer, "backend_tokenizer", None)
    vocabulary = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    parts = [vocabulary, tokenizer.special_tokens_map, getattr(processor, "chat_template", None)]
    # Its own settings, such as LLaVA's patch_size, decide how many tokens an image has.
    own = {
        name: value
        for name, value in vars(processor).items()
        if value is None or isinstance(value, int | float | str)
    }
    parts.append(sorted(own.items()) if processor is not tokenizer else None)
    for name in ("image_processor", "video_processor"):
        part = getattr(processor, name, None)
        # The class as well: transformers has two of each, which resize a little differently and say the same of it.
        parts.append((type(part).__name__, part.to_dict()) if part is not None else None)
    parts += [sorted(opened.end_ids), opened.image_token_id, opened.max_length, version("transformers")]
    return content_id(str(parts))


def trees_key(opened: Opened, mixture: Mixture, settings: Any) -> str:
    """A hash of what trees are made of: processor, files and their content, settings of the making, this program."""
    sources = [
        [str(source.annotation), source.format, str(source.root), hash_file(source.annotation)]
        for source in mixture.sources
    ]
    return content_id(_code(_CODE), version("tokenizers"), processor_key(opened), sources, settings)


def pass_key(opened: Opened, settings: Any) -> str:
    """A hash of what a pass over trees depends on besides the trees: weights, processor, settings, this program."""
    return content_id(
        _code(_PASS), model_hash(opened.path), processor_key(opened), version("torch"), settings
    )


def _code(names: Sequence[str]) -> list[str]:
    """This program: its version and these modules, which change between versions as well."""
    folder = Path(__file__).parent
    return [version("prefdata"), *(hash_file(folder / name) for name in names)]


def hash_file(path: Path) -> str:
    """XXH3-128 of a file's bytes: about 3 GB/s, so size and time need no trust."""
    digest = xxhash.xxh3_128()
    try:
        with open(path, "rb", buffering=0) as stream:
            while block := stream.read(_READ):
                digest.update(block)
    except IsADirectoryError as error:
        raise PrefdataError(f"{path}: a folder, where a file of rows is needed.") from error
    return digest.hexdigest()
