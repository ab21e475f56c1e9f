"""Flags in LMDeploy's own configuration classes, and what is refused because LMDeploy would replace it silently."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.cli.options import EngineOptions
from pipelines.engines.base import Sampling
from pipelines.engines.lmdeploy_settings import backend_of, engine_config, generation_config
from prefdata.errors import PrefdataError
from tests.lmdeploy.conftest import Running

lmdeploy = pytest.importorskip("lmdeploy")


def options(model: Path | str, *arguments: str, **more: Any) -> EngineOptions:
    return EngineOptions(checkpoint=str(model), engine="lmdeploy", engine_arg=arguments, **more)


def test_flags_reach_the_configuration(smollm2: Path) -> None:
    given = options(
        smollm2, "max_batch_size=4", "quant-policy=8", tp=2, session_len=512, cache_max_entry_count=0.5
    )
    for backend, kind in (
        ("turbomind", lmdeploy.TurbomindEngineConfig),
        ("pytorch", lmdeploy.PytorchEngineConfig),
    ):
        config = engine_config(given, str(smollm2), backend)  # type: ignore[arg-type]
        assert isinstance(config, kind)
        assert (config.tp, config.session_len, config.cache_max_entry_count) == (2, 512, 0.5)
        assert (config.max_batch_size, config.quant_policy, config.enable_prefix_caching) == (4, 8, True)


def test_the_context_is_no_longer_than_the_model(smollm2: Path) -> None:
    assert engine_config(options(smollm2), str(smollm2), "pytorch").session_len == 8192
    assert engine_config(options(smollm2, session_len=100_000), str(smollm2), "pytorch").session_len == 8192


@pytest.mark.parametrize(
    ("arguments", "more", "said"),
    [
        (("speed=high",), {}, "--engine-arg speed: LMDeploy's pytorch engine has no such setting"),
        (("backend=fast",), {}, "--engine-arg backend=fast: LMDeploy has turbomind and pytorch"),
        (("backend=pytorch",), {"dtype": "float32"}, "--dtype float32: LMDeploy computes in float16"),
        (("block_size=7",), {}, "PytorchEngineConfig refuses the settings .*power of 2"),
        ((), {"cache_max_entry_count": 1.0}, "refuses the settings .invalid cache_max_entry_count"),
        (("backend=pytorch",), {"vit_batch_size": 8}, "--vit-batch-size: .* has no vision encoder"),
        (("backend=pytorch",), {"dynamic": True}, "--dynamic: LMDeploy takes the number of tiles"),
        ((), {"pp": 2}, "--pp: the lmdeploy engine has no such setting"),
    ],
)
def test_what_it_does_not_have_is_refused(
    start: Callable[..., Running], smollm2: Path, arguments: tuple[str, ...], more: dict[str, Any], said: str
) -> None:
    with pytest.raises(PrefdataError, match=said):
        start(smollm2, engine_arg=arguments, **more)


def test_turbomind_is_not_replaced_silently(monkeypatch: pytest.MonkeyPatch, smollm2: Path) -> None:
    monkeypatch.setattr("lmdeploy.turbomind.is_available", lambda: False)
    assert backend_of(options(smollm2), str(smollm2)) == "pytorch"
    with pytest.raises(PrefdataError, match="backend=turbomind: TurboMind cannot run"):
        backend_of(options(smollm2, "backend=turbomind"), str(smollm2))


def test_sampling_is_not_cut_down_silently() -> None:
    whole = generation_config(Sampling(top_k=0), "turbomind", 5)
    assert (whole.top_k, whole.do_sample, whole.random_seed) == (0, True, 5)
    with pytest.raises(PrefdataError, match="--top-k 2000: TurboMind takes at most 1024"):
        generation_config(Sampling(top_k=2000), "turbomind", 5)
    assert generation_config(Sampling(top_k=2000), "pytorch", 5).top_k == 2000
    with pytest.raises(PrefdataError, match=r"--temperature 2\.5: LMDeploy takes at most 2"):
        generation_config(Sampling(temperature=2.5), "pytorch", 5)


def test_a_check_that_ends_the_process_is_a_sentence(
    start: Callable[..., Running], smollm2: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What LMDeploy's own check does where torch knows CUDA but there is no GPU.
    from lmdeploy.pytorch.check_env.base import BaseChecker
    from lmdeploy.serve.core import AsyncEngine

    def check(self: Any, **_: Any) -> None:
        BaseChecker().log_and_exit(mod_name="CUDA", message="cuda is not available.")

    monkeypatch.setattr(AsyncEngine, "_build_pytorch", check)
    with pytest.raises(PrefdataError, match=r"LMDeploy does not start .its check of this machine failed"):
        start(smollm2)


def test_a_machine_without_a_gpu_is_said_in_a_sentence(smollm2: Path, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"question": "Why?", "chosen": "Because it is so, and always was."}\n')
    command = [sys.executable, "-m", "prefdata", "dropout-ntp", "-v", "--engine", "lmdeploy"]
    where = ["--checkpoint", str(smollm2), "--prompt-path", str(rows), "--out-dir", str(tmp_path / "runs")]
    done = subprocess.run([*command, *where], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "LMDeploy does not start" in done.stderr
    assert "lmdeploy - INFO" in done.stderr
    assert "lmdeploy" not in done.stdout, "its messages belong to standard error"
