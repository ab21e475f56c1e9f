"""The vLLM environment is what its tests take it for: a torchvision that imports, a real model that is complete."""

import json
import subprocess
import sys
from pathlib import Path


def test_torchvision_imports_in_any_process() -> None:
    # A process of its own, as vLLM's workers are: nothing that this one imported can help.
    script = "from torchvision.transforms import v2; print(v2.Resize(4).size)"
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["[4]"]


def test_the_real_model_has_its_chat_template(smollm2: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(smollm2)
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Hello"}], tokenize=False, add_generation_prompt=True
    )
    assert isinstance(text, str)
    assert text.endswith("<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n")
    assert json.loads((smollm2 / "config.json").read_text())["dtype"] == "bfloat16"
