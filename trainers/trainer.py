"""The loop: transformers' Trainer, with ours only where a forest needs it - the rows, the loss, what is logged.

Where it stands: `run.py` makes it and calls `train()`. Optimiser, schedule, DeepSpeed, mixed precision, clipping and
checkpoints are Trainer's own.

The decision to question: a row's loss is its *sum* divided by the counts of the whole optimiser step (known from the
plan on every process), times the number of processes, because gradients are summed over accumulation and averaged
over processes. So neither packing nor accumulation nor ranks change how much a pair weighs.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.jsonl import write_json
from prefdata.progress import say
from trainers.checkpoints import load_weights, save_weights
from trainers.claim import STATE_FILE, drop_old_checkpoints
from trainers.config import TrainConfig
from trainers.evaluation import Evaluator
from trainers.logprobs import AnswerHead
from trainers.objective import Objective
from trainers.parts import groups
from trainers.plan import Plan, PlannedRow
from trainers.reference import OnlineReference, Reference
from trainers.rows import RowMaker
from trainers.steplog import StepLog
from trainers.trees import Tree

_AHEAD = 4
"""Rows that each loading process makes ahead of the device."""
_NAMED = 8
"""Rows that an error names."""


class PlannedRows(torch.utils.data.Dataset[dict[str, Any]]):
    """The rows of one process in training order, made when asked for."""

    def __init__(self, plan: Plan, trees: Sequence[Tree], reference: Reference, maker: RowMaker) -> None:
        self.rows = plan.rows_of(maker.rank)
        self.trees, self.reference, self.maker = trees, reference, maker

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, number: int) -> dict[str, Any]:
        step, planned = self.rows[number]
        trees = [self.trees[tree] for tree in planned.trees]
        known = [value for tree in trees for value in self._known(tree, planned)]
        return {
            "row": self.maker.host(trees),
            "reference": torch.tensor(known, dtype=torch.float64),
            "step": step,
            "planned": planned,
        }

    def _known(self, tree: Tree, planned: PlannedRow) -> Sequence[float]:
        """Of every branch. A stage without a reference, or one that is asked in every step, has none; a row that counts
        for nothing needs none."""
        if not self.reference or not planned.weight:
            return (0.0,) * len(tree.branches)
        return self.reference[tree.key]


def _listed(places: list[str]) -> str:
    more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
    return ", ".join(places[:_NAMED]) + more


def _only(items: list[dict[str, Any]]) -> dict[str, Any]:
    """A packed row is a batch already."""
    return items[0]


class ForestTrainer(Trainer):
    """Trainer over planned rows."""

    loss_is_scaled_for_ga = True

    def __init__(
        self,
        objective: Objective,
        plan: Plan,
        trees: Sequence[Tree],
        reference: Reference,
        maker: RowMaker,
        head: AnswerHead,
        step_log: StepLog,
        settings: TrainConfig,
        **kwargs: Any,
    ) -> None:
        self.settings = settings
        self.rows = PlannedRows(plan, trees, reference, maker)
        super().__init__(train_dataset=self.rows, **kwargs)
        self.objective: Objective = objective
        self.plan, self.maker, self.head, self.step_log = plan, maker, head, step_log
        self.fingerprint = plan.fingerprint(trees)
        self.evaluator: Evaluator | None = None
        self.online: OnlineReference | None = None
        self._found: list[tuple[torch.Tensor, PlannedRow]] = []
        self._rate = 0.0
        self.remove_callback(PrinterCallback)
        self.remove_callback(ProgressCallback)
        self.add_callback(_StepEnd(self))

    def get_train_dataloader(self) -> DataLoader[dict[str, Any]]:
        """This process's rows in the plan's order; nothing is shuffled or dealt out again."""
        workers = self.args.dataloader_num_workers
        return DataLoader(
            self.rows, batch_size=1, shuffle=False, collate_fn=_only, num_workers=workers,
            prefetch_factor=_AHEAD if workers else None, pin_memory=self.args.dataloader_pin_memory,
        )  # fmt: skip

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """Trainer's optimiser, with a learning rate for each part of the model."""
        if self.optimizer is None:
            trained: Any = self.model
            kind, settings = self.get_optimizer_cls_and_kwargs(self.args, trained)
            decayed = self.get_decay_parameter_names(trained)
            self.optimizer = kind(groups(trained, decayed, self.settings), **settings)
        return self.optimizer

    def floating_point_ops(self, inputs: dict[str, Any]) -> int:
        """Not estimated: the usual formula knows nothing of shared trunks."""
        return 0

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        row = self.maker.move(inputs["row"])
        return {**inputs, "row": row, "reference": inputs["reference"].to(self.maker.device)}

    def compute_loss(
        self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
    ) -> torch.Tensor:
        """One row's share of the step's loss."""
        row, step, planned = inputs["row"], inputs["step"], inputs["planned"]
        known = inputs["reference"] if self.online is None else self.online(row)
        values = self.objective.forward(model, self.head, row)
        share, sums = self.objective.share(values, known, row, step, planned.weight)
        # Looked at when the step ends: reading a number now would make a GPU wait for it.
        self._found.append((sums, planned))
        self._rate = self._get_learning_rate()
        scaled: torch.Tensor = share * planned.weight * self.maker.processes
        return scaled

    def end_step(self) -> None:
        """Sum the step over processes, write the log line's first half, move what moves once per step."""
        values = torch.stack([sums for sums, _ in self._found])
        counted = torch.tensor([planned.weight > 0 for _, planned in self._found], device=values.device)
        finite = values.isfinite().all(1)
        held = torch.cat([values[counted].sum(0), (~finite).sum()[None].double()])
        if self.maker.processes > 1:
            torch.distributed.all_reduce(held)
        *totals, faults = held.tolist()
        if faults:
            self._stop(finite.tolist(), values[:, 0].tolist())
        self._found.clear()
        sums = dict(zip(self.objective.sums, totals, strict=True))
        step = self.plan.steps[self.state.global_step - 1]
        line = self.objective.line(step, sums)
        self.objective.end_step(step, sums)
        if self.evaluator is not None and self.evaluator.due(self.state.global_step):
            line |= self.evaluator(self.model_wrapped, self.head, self.state.global_step)
        self.step_log.step(self.state.global_step, step, line, self._rate)

    def _stop(self, finite: list[bool], losses: list[float]) -> None:
        """End the run with the rows named whose loss is no finite number. All processes come here together, so that
        none is left waiting for another."""
        mine = [
            (loss, [self.rows.trees[number].place for number in planned.trees])
            for fine, loss, (_, planned) in zip(finite, losses, self._found, strict=True)
            if not fine
        ]
        everywhere: list[Any] = [mine]
        if self.maker.processes > 1:
            everywhere = [None] * self.maker.processes
            torch.distributed.all_gather_object(everywhere, mine)
        found = [fault for faults in everywhere for fault in faults]
        places = [place for _, row in found for place in row]
        raise PrefdataError(
            f"Step {self.state.global_step}: the loss is not a finite number ({found[0][0]}) in the rows "
            f"{_listed(places)}; lower --learning-rate, or look at these rows.",
            exit_code=EXIT_DATA,
        )

    def _refuse_gradient(self, norm: float) -> None:
        """End the run before its weights, which the optimiser has just made no numbers, are saved.

        The norm is one for all processes, so that all come here. DeepSpeed says -1 where it is no finite number.
        """
        if math.isfinite(norm) and norm >= 0:
            return
        step = self.plan.steps[self.state.global_step - 1]
        raise PrefdataError(
            f"Step {self.state.global_step}: the gradient is not a finite number, though the loss is, in a step of the "
            f"rows {_listed([self.rows.trees[number].place for number in step.trees])}; lower --learning-rate, or "
            "look at these rows.",
            exit_code=EXIT_DATA,
        )

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Complete and write the step's line; Trainer knows the gradient norm only here."""
        if "loss" in logs:
            norm = float(logs.get("grad_norm") or 0.0)
            self._refuse_gradient(norm)
            line = self.step_log.write(norm)
            self.control = self.callback_handler.on_log(self.args, self.state, self.control, logs=line)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        super()._save_checkpoint(model, trial)
        if self.maker.processes > 1:
            torch.distributed.barrier()  # the others' parts belong to a whole checkpoint
        if self.is_world_process_zero():
            output = Path(str(self.args.output_dir))
            folder = output / f"checkpoint-{self.state.global_step}"
            write_json(folder / STATE_FILE, {"plan": self.fingerprint, "objective": self.objective.state()})
            drop_old_checkpoints(output, self.settings.save_total)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Any] | None = None) -> None:
        save_weights(self.model, Path(str(output_dir)), state_dict)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        load_weights(model or self.model, Path(resume_from_checkpoint))

    def restore(self, state: dict[str, Any], place: Path) -> None:
        """Take over what a checkpoint holds of ours; another plan (the same settings, but other rows) is refused."""
        if state["plan"] != self.fingerprint:
            raise PrefdataError(
                f"{place}: this checkpoint was made with other rows or another number of processes (or the self-check "
                "chose another path); give the same data to as many processes, or choose another --output-dir."
            )
        self.objective.load(state["objective"])
        say(f"resume: from {place}")


class _StepEnd(TrainerCallback):
    def __init__(self, trainer: ForestTrainer) -> None:
        self.trainer = trainer

    def on_step_end(self, *args: Any, **kwargs: Any) -> None:
        """After the optimiser's step, before Trainer logs or saves."""
        self.trainer.end_step()


__all__ = ["ForestTrainer", "PlannedRows"]
