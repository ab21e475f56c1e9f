"""What can be said about the vLLM engine where vLLM is not installed."""

import importlib.util
from typing import Any

import pytest

from pipelines.cli.options import EngineOptions
from pipelines.engines import make_engine
from pipelines.engines.vllm_settings import parse_value
from prefdata.errors import PrefdataError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("8", 8),
        ("0.5", 0.5),
        ("{image: 2}", {"image": 2}),
        ("fp8", "fp8"),
        ("{", "{"),
    ],
)
def test_values_of_engine_args(text: str, value: Any) -> None:
    assert parse_value(text) == value


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_a_missing_vllm_is_one_sentence() -> None:
    with pytest.raises(
        PrefdataError, match=r"the package vllm is not installed; pip install 'prefdata\[vllm\]'"
    ):
        make_engine(EngineOptions(checkpoint="demo", engine="vllm"))
