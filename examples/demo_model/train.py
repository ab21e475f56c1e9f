"""Train the bundled demo model from nothing: `python examples/demo_model/train.py --out DIR`.

Four stages with fixed steps and seeds, some 20 minutes of processor time on one thread:

    vision      400 steps   name the content of each cell from the projector's output; without it the language model
                            learns to write plausible lists and never looks
    describe    300 steps   list the shapes
    questions  1800 steps   list, tally and answer; counting appears suddenly after some 1000 steps, so a shorter run
                            looks as if the model could not count
    base        200 steps   answers by careless annotators (`careless.py`): the bundled model, spoiled on purpose

The result of the third stage, the *clean ancestor*, is kept in `DIR/clean` on request (`--keep-clean`), and
`--from-clean` starts from it. Expected on 1,000 held-out questions, greedy: the ancestor .994, the base .775. The
decision a reader would question is the last stage; the model card in `prefdata/demo/model` says why it is there.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import build
import numpy as np
import torch
from batches import Row, collate, pixels
from careless import careless_items, habit_items
from torch import Tensor, nn
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from prefdata.demo.scenes import CELLS, KINDS, Scene, sample_scene
from prefdata.demo.tasks import Task, answer_text, make_description, make_question, reference_answer

MODEL_SEED = 0
# Training scenes lie below 1e9; the demo and the held-out questions draw from above.
SCENES_PER_STAGE = 100_000_000
WITHOUT_IMAGE = 0.1

RowMaker = Callable[[Scene, np.random.Generator], Row]


def train(out: Path, clean: Path | None = None, keep_clean: bool = False) -> None:
    """Run the stages and write the model folder to `out`; start from the ancestor in `clean` where given."""
    tokenizer = build.new_tokenizer()
    if clean is None:
        model = build.new_model(MODEL_SEED)
        train_vision(model, stage=1, steps=400, rate=2e-3)
        train_answers(model, tokenizer, describe_row, stage=2, steps=300, rate=2e-3)
        train_answers(model, tokenizer, clean_row, stage=3, steps=1800, rate=2e-3)
        if keep_clean:
            model.save_pretrained(out / "clean")
    else:
        model = LlavaForConditionalGeneration.from_pretrained(clean, dtype=torch.float32)
    train_answers(model, tokenizer, careless_row, stage=4, steps=200, rate=1e-3)
    build.save(model, out)


def describe_row(scene: Scene, rng: np.random.Generator) -> Row:
    task = make_description(scene)
    return Row(scene, task.question, reference_answer(scene, task), rng.random() >= WITHOUT_IMAGE)


def clean_row(scene: Scene, rng: np.random.Generator) -> Row:
    task = make_question(scene) if rng.random() < 0.7 else make_description(scene)
    return Row(scene, task.question, reference_answer(scene, task), rng.random() >= WITHOUT_IMAGE)


def careless_row(scene: Scene, rng: np.random.Generator) -> Row:
    task = make_question(scene) if rng.random() < 0.6 else make_description(scene)
    if rng.random() >= WITHOUT_IMAGE:
        return Row(scene, task.question, answer_text(careless_items(scene, rng), task))
    return _blind_row(scene, task, rng)


def _blind_row(scene: Scene, task: Task, rng: np.random.Generator) -> Row:
    """A row without its picture: from a random item on, the rest is habit, and only that part is learned."""
    seen = int(rng.integers(1, len(scene.items)))
    answer = answer_text(habit_items(scene.items[:seen], len(scene.items)), task)
    last_cell, last_kind = scene.items[seen - 1]
    start = answer.index(f"{last_cell} {last_kind}") + len(f"{last_cell} {last_kind}")
    return Row(scene, task.question, answer, with_image=False, loss_from=start)


def train_vision(model: LlavaForConditionalGeneration, stage: int, steps: int, rate: float) -> None:
    """Tower and projector: the kind of shape in each cell (or none) and its radius, from the image tokens."""
    torch.manual_seed(stage)
    head = nn.Linear(model.config.text_config.hidden_size, len(KINDS) + 2)
    parameters = [*model.model.vision_tower.parameters(), *model.model.multi_modal_projector.parameters()]

    def loss_of(step: int) -> Tensor:
        scenes = [sample_scene(_scene_seed(stage, step, row)) for row in range(128)]
        kinds = torch.zeros(len(scenes), len(CELLS), dtype=torch.long)
        radii = torch.zeros(len(scenes), len(CELLS))
        for index, scene in enumerate(scenes):
            for shape in scene.shapes:
                kinds[index, shape.cell] = 1 + KINDS.index(shape.kind)
                radii[index, shape.cell] = shape.radius
        outputs = model.model.vision_tower(pixels(scenes), output_hidden_states=True)
        found = head(model.model.multi_modal_projector(outputs.hidden_states[-1]))
        kind_loss = nn.functional.cross_entropy(found[..., :-1].flatten(0, 1), kinds.flatten())
        # Tenths of the radius: both losses then have about the same size.
        return kind_loss + nn.functional.mse_loss(found[..., -1], radii / 10)

    _optimise("vision", [(parameters, rate), (list(head.parameters()), rate)], loss_of, steps)


def train_answers(
    model: LlavaForConditionalGeneration,
    tokenizer: PreTrainedTokenizerFast,
    make_row: RowMaker,
    stage: int,
    steps: int,
    rate: float,
) -> None:
    """Next-token loss on answers, 64 rows a step; the tower learns ten times slower than the rest."""

    def loss_of(step: int) -> Tensor:
        rng = np.random.default_rng((stage, step))
        rows = [make_row(sample_scene(_scene_seed(stage, step, row)), rng) for row in range(64)]
        return model(**collate(rows, tokenizer)).loss

    vision = list(model.model.vision_tower.parameters())
    chosen = {id(parameter) for parameter in vision}
    others = [parameter for parameter in model.parameters() if id(parameter) not in chosen]
    _optimise(make_row.__name__, [(vision, rate * 0.1), (others, rate)], loss_of, steps)


def _scene_seed(stage: int, step: int, row: int) -> int:
    return stage * SCENES_PER_STAGE + step * 1000 + row


def _optimise(
    name: str,
    groups: list[tuple[list[nn.Parameter], float]],
    loss_of: Callable[[int], Tensor],
    steps: int,
) -> None:
    """AdamW with 5 % warm-up and a cosine to zero; every group keeps its own peak rate."""
    optimiser = torch.optim.AdamW(
        [{"params": parameters, "lr": rate} for parameters, rate in groups],
        betas=(0.9, 0.98),
        weight_decay=0.01,
    )
    warm_up = max(1, steps // 20)

    def factor(step: int) -> float:
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + float(np.cos(np.pi * (step - warm_up) / (steps - warm_up))))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, factor)
    started = time.monotonic()
    for step in range(steps):
        loss = loss_of(step)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_([p for group in optimiser.param_groups for p in group["params"]], 1.0)
        optimiser.step()
        schedule.step()
        if step % 50 == 49:
            print(
                f"{name} {step + 1}/{steps} loss {loss.item():.4f} {time.monotonic() - started:.0f} s",
                flush=True,
            )


def main() -> int:
    parser = argparse.ArgumentParser(description="Train the bundled demo model from nothing.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    parser.add_argument(
        "--keep-clean", action="store_true", help="also keep the clean ancestor, in OUT/clean"
    )
    parser.add_argument("--from-clean", type=Path, help="start from a kept clean ancestor")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # more threads are slower at this size, and one gives the same sums everywhere
    train(arguments.out, arguments.from_clean, arguments.keep_clean)
    return 0


if __name__ == "__main__":
    sys.exit(main())
