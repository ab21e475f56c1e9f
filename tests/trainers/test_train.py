"""`prefdata train` from rows to a model that loads anywhere: stages, LoRA, resume, processes, mistakes."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support.forests import config
from tests.support.program import program
from trainers.config import TrainConfig
from trainers.launch import environment, launch
from trainers.run import run


def train(**settings: Any) -> dict[str, Any]:
    """A run in this process."""
    made = config(**settings)
    with environment(made):
        result = run(made)
    assert result is not None
    return result


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "train_log.jsonl").read_text().splitlines()]


def tensors(folder: Path) -> dict[str, torch.Tensor]:
    from safetensors.torch import load_file

    return load_file(folder / "model.safetensors")


def answers(folder: Path) -> str:
    """Load the model as anyone would and let it say something."""
    from PIL import Image
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    processor = AutoProcessor.from_pretrained(folder)
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}
    text = processor.apply_chat_template([turn], add_generation_prompt=True, tokenize=False)
    inputs = processor(text=text, images=[[Image.new("RGB", (16, 16))]], return_tensors="pt")
    out = model.generate(**inputs, max_new_tokens=4, do_sample=False, pad_token_id=0)
    return str(out.tolist())


@pytest.mark.parametrize("stage", ["sft", "dpo", "mpo"])
def test_stages_with_deepspeed(
    stage: str, models: dict[str, Path], pairs: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    settings = config(
        models["llava"],
        pairs,
        tmp_path / "out",
        stage=stage,
        deepspeed="zero1",
        max_steps=4,
        save_dtype="fp32",
    )
    assert launch(settings) == 0
    out = capfd.readouterr().out.splitlines()
    result = json.loads(out[-1])
    assert len(out) == 1
    assert result["steps"] == 4
    assert result["final_loss"] < result["first_loss"]
    lines = log_of(tmp_path / "out")
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    if stage == "dpo":
        assert lines[0]["loss"] == pytest.approx(math.log(2), abs=1e-5)
    if stage == "mpo":
        assert lines[0]["loss"] == pytest.approx(1.2 * math.log(2) + lines[0]["loss_sft"], abs=1e-5)
        assert lines[-1]["margin"] > 0
    assert answers(tmp_path / "out")
    before, after = tensors(models["llava"]), tensors(tmp_path / "out")
    assert set(after) == {name for name in before if not name.endswith("lm_head.weight")}
    assert any(name.startswith("vision_tower.vision_model.") for name in after)
    changed = [name for name in after if not torch.equal(before[name].float(), after[name].float())]
    assert any("language_model" in name for name in changed)
    assert any("vision_tower" in name for name in changed)


def test_cutting_and_sharing_do_not_change_the_run(
    models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    """One packed row, many with accumulation, and the plain padded path: the same losses and gradient norms."""
    runs: dict[str, dict[str, Any]] = {"whole": {}, "cut": {"max_tokens": 150}, "plain": {"share": False}}
    logs = {}
    for name, settings in runs.items():
        train(model=models["llava"], data=pairs, output=tmp_path / name, max_steps=4, **settings)
        logs[name] = log_of(tmp_path / name)
    assert json.loads((tmp_path / "cut" / "train.json").read_text())["rows_per_step"] > 1
    for name in ("cut", "plain"):
        for ours, theirs in zip(logs["whole"], logs[name], strict=True):
            assert ours["loss"] == pytest.approx(theirs["loss"], abs=2e-5)
            assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-3)


def test_two_processes_equal_one(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    common = [
        "--stage",
        "mpo",
        "--model",
        models["llava"],
        "--data",
        pairs,
        "--batch-size",
        4,
        "--max-steps",
        4,
    ]
    common += ["--learning-rate", 1e-3, "--deepspeed", "zero1"]
    both = program("train", *common, "--output-dir", tmp_path / "two", "--nproc", 2, cwd=tmp_path)
    assert both.returncode == 0, both.stderr
    assert json.loads(both.stdout)["steps"] == 4
    train(model=models["llava"], data=pairs, output=tmp_path / "one", max_steps=4, deepspeed="zero1")
    for one, two in zip(log_of(tmp_path / "one"), log_of(tmp_path / "two"), strict=True):
        assert one["loss"] == pytest.approx(two["loss"], abs=2e-5)
        assert one["accuracy"] == two["accuracy"]
        assert one["grad_norm"] == pytest.approx(two["grad_norm"], rel=1e-3)


def test_lora(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    out = tmp_path / "lora"
    train(model=models["llava"], data=pairs, output=out, max_steps=4, lora_rank=4, learning_rate=1e-2)
    lines = log_of(out)
    assert lines[0]["loss"] == pytest.approx(1.2 * math.log(2) + lines[0]["loss_sft"], abs=1e-5)
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert (out / "adapter" / "adapter_model.safetensors").is_file()
    assert answers(out)
    before, after = tensors(models["llava"]), tensors(out)
    changed = {name for name in after if not torch.allclose(before[name], after[name])}
    assert changed
    assert all("language_model" in name and "proj" in name for name in changed)


ADAPTERS = {"lora_rank": 4, "lora_projector": True, "learning_rate": 1e-2}


@pytest.mark.parametrize(
    ("kind", "deepspeed", "more"),
    [
        ("llama", "none", {}),
        ("llama", "zero1", {}),
        ("llava", "none", {}),
        ("llava", "none", ADAPTERS),
    ],
)
def test_resume_equals_an_uninterrupted_run(
    kind: str, deepspeed: str, more: dict[str, Any], models: dict[str, Path], pairs: Path, text_pairs: Path,
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    common: dict[str, Any] = {
        "model": models[kind], "data": text_pairs if kind == "llama" else pairs, "max_steps": 5, "save_steps": 2,
        "deepspeed": deepspeed, "save_dtype": "fp32", **more,
    }  # fmt: skip
    train(output=tmp_path / "whole", **common)
    from trainers.trainer import ForestTrainer

    original = ForestTrainer.compute_loss

    def stopped(self: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step == 3:
            raise KeyboardInterrupt
        return original(self, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ForestTrainer, "compute_loss", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(output=tmp_path / "cut", **common)
    assert len(log_of(tmp_path / "cut")) == 3
    page = tmp_path / "cut" / "train_report.html"
    assert "The run stopped after step 3 of 5." in page.read_text()
    train(output=tmp_path / "cut", resume=True, **common)
    assert "stopped after" not in page.read_text()
    for whole, cut in zip(log_of(tmp_path / "whole"), log_of(tmp_path / "cut"), strict=True):
        assert whole["loss"] == pytest.approx(cut["loss"], abs=1e-6)
        assert whole["delta"] == pytest.approx(cut["delta"], abs=1e-9)
    after, again = tensors(tmp_path / "whole"), tensors(tmp_path / "cut")
    assert all(torch.allclose(after[name], again[name], atol=1e-6) for name in after)
    if kind == "llama" and deepspeed == "none":
        with pytest.raises(PrefdataError, match="checkpoint-5 of an earlier run"):
            train(output=tmp_path / "cut", **common)
        said = r"--seed 0 \(now 1\), --learning-rate 0.001 \(now 0.1\)"
        with pytest.raises(PrefdataError, match=said):
            train(output=tmp_path / "cut", resume=True, **{**common, "seed": 1, "learning_rate": 0.1})
        rows = Path(text_pairs).read_text().splitlines(keepends=True)
        same_name = tmp_path / "pairs.jsonl"
        same_name.write_text("".join(rows))
        moved = {**common, "data": same_name}
        train(output=tmp_path / "moved", **moved)
        same_name.write_text("".join(reversed(rows)))
        with pytest.raises(PrefdataError, match="checkpoint was made with other rows"):
            train(output=tmp_path / "moved", resume=True, **moved)


def test_reference_is_computed_once(
    models: dict[str, Path], text_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common: dict[str, Any] = {"model": models["llama"], "data": text_pairs, "max_steps": 1}
    cache = tmp_path / "cache"
    train(output=tmp_path / "a", reference_cache=str(cache), **common)
    (path,) = cache.glob("reference-*.jsonl")
    path.write_bytes(path.read_bytes()[:-20])  # a line torn by a kill is computed again
    from trainers import reference

    owed = []
    original = reference._compute

    def counted(model: Any, head: Any, trees: Any, missing: Any, *rest: Any) -> Any:
        owed.append(len(missing))
        return original(model, head, trees, missing, *rest)

    monkeypatch.setattr(reference, "_compute", counted)
    train(output=tmp_path / "b", reference_cache=str(cache), **common)
    train(output=tmp_path / "c", reference_cache=str(cache), **common)
    train(output=tmp_path / "grouped", reference_cache=str(cache), group_by_question=True, **common)
    assert owed == [1]
    assert log_of(tmp_path / "a")[0]["loss"] == pytest.approx(log_of(tmp_path / "c")[0]["loss"], abs=1e-6)


def test_an_interrupted_reference_pass_goes_on(
    models: dict[str, Path], text_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import reference

    calls = []
    original = reference._values

    def stopped(model: Any, head: Any, trees: Any, maker: Any) -> Any:
        calls.append(len(trees))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(model, head, trees, maker)

    common: dict[str, Any] = {"model": models["llama"], "data": text_pairs, "max_tokens": 150, "epochs": 1}
    with monkeypatch.context() as patch:
        patch.setattr(reference, "_values", stopped)
        with pytest.raises(KeyboardInterrupt):
            train(output=tmp_path / "cut", **common)
    (path,) = (tmp_path / "cut").glob("reference-*.jsonl")
    assert len(path.read_text().splitlines()) == 2 * sum(calls[:2]) > 0
    train(output=tmp_path / "cut", **common)
    train(output=tmp_path / "whole", **common)
    keys = [json.loads(line)["key"] for line in path.read_text().split("\n") if line]
    assert len(keys) == len(set(keys)) == 20
    for cut, whole in zip(log_of(tmp_path / "cut"), log_of(tmp_path / "whole"), strict=True):
        assert cut["loss"] == pytest.approx(whole["loss"], abs=1e-6)


def test_srun_makes_one_run_of_its_tasks(models: dict[str, Path], text_pairs: Path, tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    command = [
        *(sys.executable, "-m", "prefdata", "train", "--stage", "sft", "--model", str(models["llama"])),
        *("--data", str(text_pairs), "--output-dir", "out", "--batch-size", "4", "--max-steps", "1"),
        *("--deepspeed", "none"),
    ]
    tasks = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            env=os.environ | {
                "SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": str(rank), "SLURM_LOCALID": str(rank),
                "SLURM_STEP_NODELIST": "localhost", "SLURM_JOB_ID": str(os.getpid()), "OMP_NUM_THREADS": "1",
            },
        )
        for rank in range(2)
    ]  # fmt: skip
    outputs = [task.communicate(timeout=120)[0] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0]
    assert json.loads(outputs[0])["steps"] == 1
    assert outputs[1] == b""


def test_not_a_number_stops_with_the_rows_named(
    models: dict[str, Path], text_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import objective
    from trainers.logprobs import token_logps

    monkeypatch.setattr(objective, "token_logps", lambda *args: token_logps(*args) * float("nan"))
    with pytest.raises(PrefdataError, match=r"Step 1: the loss is not a finite number .*pairs\.jsonl:\d+"):
        train(model=models["llama"], data=text_pairs, output=tmp_path / "out", max_steps=1)
    assert not (tmp_path / "out" / "model.safetensors").exists()


@pytest.mark.parametrize("deepspeed", ["none", "zero1"])
def test_a_gradient_that_is_not_a_number_is_never_saved(
    deepspeed: str, models: dict[str, Path], text_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from trainers import objective
    from trainers.logprobs import token_logps

    def edged(*args: Any) -> torch.Tensor:
        values = token_logps(*args)
        return values + (values - values.detach()).abs().sqrt()  # + 0, with an infinite slope

    monkeypatch.setattr(objective, "token_logps", edged)
    common: dict[str, Any] = {
        "model": models["llama"],
        "data": text_pairs,
        "stage": "sft",
        "output": tmp_path,
    }
    with pytest.raises(PrefdataError, match=r"Step 1: the gradient is not a finite number.*pairs\.jsonl:\d+"):
        train(max_steps=1, save_steps=1, deepspeed=deepspeed, **common)
    assert not list(tmp_path.glob("**/*.safetensors"))


def test_a_reference_that_is_not_the_policy_is_reported(
    models: dict[str, Path], text_pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    from trainers.preference import Preference

    monkeypatch.setattr(Preference, "first_loss", lambda *args: 1.0)
    with caplog.at_level("INFO", logger="prefdata"):
        import logging

        logging.getLogger("prefdata").propagate = True
        train(model=models["llama"], data=text_pairs, output=tmp_path / "out", max_steps=1)
    assert "policy and reference do not agree" in caplog.text


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"deepspeed": "zero9"}, "--deepspeed zero9: neither"),
        ({"lora_rank": 2, "lora_targets": "nothing"}, "--lora-targets nothing"),
        ({"model": "no/such/model"}, "no such model folder"),
        (
            {"dpo_loss": "ipo", "label_smoothing": 0.1},
            "--label-smoothing 0.1: has no meaning with --dpo-loss ipo",
        ),
    ],
)
def test_mistakes_are_one_sentence(
    settings: dict[str, Any], reason: str, models: dict[str, Path], text_pairs: Path, tmp_path: Path
) -> None:
    usual = {"model": models["llama"], "data": text_pairs, "output": tmp_path / "out", "max_steps": 1}
    with pytest.raises(PrefdataError, match=reason):
        train(**(usual | settings))


def test_settings_survive_the_way_to_a_worker(models: dict[str, Path], text_pairs: Path) -> None:
    import msgspec

    made = config(models["llama"], text_pairs, nproc=2, lora_rank=3)
    assert msgspec.json.decode(msgspec.json.encode(made), type=TrainConfig) == made
