"""TRL's DPOTrainer with `loss_type=["sigmoid", "bco_pair", "sft"]`: its own collator, loss, reference and loop.

Where it stands: `subjects.py` runs it in turn with prefdata. Three forms:

- `trl`, the fair rival. TRL's fused head (`trl.trainer.utils.add_fused_lm_head`) scores answer positions only where
  `_use_triton(device)` holds, that is on CUDA and XPU; elsewhere it scores all positions, so that shapes stay constant.
  That name is looked up in `trl.trainer.utils`, so it is replaced there, and only there: the kernels keep theirs and
  fold their tiles in torch, as they do on every CPU.
- `trl, as installed`: without that.
- `trl, distinct answers`: what a rival could do at best about pairs that share a question without sharing the prompt:
  every distinct answer runs once, image and prompt included, and all pairs are made from these. TRL has no such mode;
  its collator and loss are fed so that it comes about.

The decision to question: gradient checkpointing, TRL's default, is off; it would cost the rival a third more compute.
"""

from math import isqrt
from pathlib import Path
from typing import Any

Rows = list[dict[str, Any]]


def score_answers_only() -> None:
    """Let the fused head pick answer positions on this device too."""
    from trl.trainer import utils

    module: Any = utils  # the name is its own
    module._use_triton = lambda device: True


def read_rows(data: Path) -> Rows:
    """MMPR rows in TRL's form."""
    import json

    rows = []
    for line in data.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        # prefdata, as InternVL does, puts the image of an MMPR row on a line of its own.
        question = "\n" + row["question"] if "image" in row else row["question"]
        made: dict[str, Any] = {
            "prompt": _turn("user", question),
            "chosen": _turn("assistant", row["chosen"]),
            "rejected": _turn("assistant", row["rejected"]),
        }
        if "image" in row:
            made["images"] = [str(data.parent / row["image"])]
        rows.append(made)
    return rows


def trainer(
    model: Path, rows: Rows, output: Path, *, batch: int, distinct: bool = False, **settings: Any
) -> Any:
    """A DPOTrainer with the settings of MPO, ready to train; `batch` pairs a micro-batch, rows in their order."""
    import datasets
    import torch
    import transformers as hf
    from transformers.trainer_callback import PrinterCallback
    from trl.trainer.dpo_config import DPOConfig
    from trl.trainer.dpo_trainer import DPOTrainer

    datasets.disable_progress_bars()
    hf.logging.set_verbosity_error()
    hf.logging.disable_progress_bar()
    images = "images" in rows[0]
    dataset = datasets.Dataset.from_list(rows)
    if images:
        dataset = dataset.cast_column("images", datasets.List(datasets.Image()))
    processor = (hf.AutoProcessor if images else hf.AutoTokenizer).from_pretrained(model)
    loader = hf.AutoModelForImageTextToText if images else hf.AutoModelForCausalLM
    arguments = DPOConfig(
        output_dir=str(output), loss_type=["sigmoid", "bco_pair", "sft"], loss_weights=[0.8, 0.2, 1.0],
        beta=0.1, max_length=None, per_device_train_batch_size=batch, optim="adamw_torch",
        train_sampling_strategy="sequential", logging_steps=1, save_strategy="no", report_to=[],
        disable_tqdm=True, dataloader_pin_memory=False, **settings,
    )  # fmt: skip
    kind = _distinct_trainer(len(rows)) if distinct else DPOTrainer
    made = kind(
        model=loader.from_pretrained(model, dtype=torch.float32, attn_implementation="sdpa"),
        args=arguments,
        train_dataset=dataset,
        processing_class=processor,
    )
    made.remove_callback(PrinterCallback)
    return made


def _distinct_trainer(pairs: int) -> Any:
    """TRL's trainer over all pairs of `sides` right and `sides` wrong answers, every answer run once."""
    from trl.trainer.dpo_trainer import DPOTrainer

    sides = isqrt(pairs)
    # The places of the pairs' answers, right answers before wrong ones as TRL's batch has them, among the answers.
    places = [right for _ in range(sides) for right in range(sides)]
    places += [sides + wrong for wrong in range(sides) for _ in range(sides)]

    class Distinct(DPOTrainer):
        def get_train_dataloader(self) -> Any:
            collate = self.data_collator

            def expanded(rows: Rows) -> Any:
                batch = collate(
                    [rows[side * sides + side] for side in range(sides)]
                )  # each answer is in one of these
                for key in ("input_ids", "attention_mask", "completion_mask"):
                    batch[key] = batch[key][places]
                return batch

            self.data_collator = expanded
            return super().get_train_dataloader()

        def _compute_loss(self, model: Any, inputs: Any, return_outputs: bool) -> Any:
            reference: Any = self.ref_model
            self.ref_model = _once(reference, places)
            try:
                whole: Any = super()
                return whole._compute_loss(_once(model, places), inputs, return_outputs)
            finally:
                self.ref_model = reference

    return Distinct


def _once(model: Any, places: list[int]) -> Any:
    """The model with a fused head, run on the distinct sequences of a batch, its results dealt out again."""
    first = [places.index(place) for place in range(max(places) + 1)]

    def run(input_ids: Any, attention_mask: Any, labels: Any, **kwargs: Any) -> Any:
        out = model(
            input_ids=input_ids[first], attention_mask=attention_mask[first], labels=labels[first], **kwargs
        )
        for name in ("log_probs", "entropy", "mean_logits", "is_top1"):
            if name in out:  # the reference computes no metrics
                out[name] = out[name][places]
        return out

    return run


def _turn(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]
