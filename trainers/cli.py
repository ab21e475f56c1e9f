"""`prefdata train`: the command itself. Nothing heavy is imported until it runs."""

from prefdata.cli.config import STARTS_ANEW, config_command
from trainers import recipe
from trainers.config import TrainConfig

RESUME = "Stopped. The same command with --resume goes on from the last checkpoint."


@config_command(
    TrainConfig,
    name="train",
    section="Train",
    preset=("recipe", recipe.path),
    stopped=lambda config: RESUME if config.save_steps else STARTS_ANEW,
    examples="""prefdata train --stage mpo --model demo --data pairs.jsonl --output-dir out --max-steps 60
prefdata train --stage dpo --model owner/name --data meta.json --output-dir out --lora-rank 16
prefdata train --stage reward --model demo --data pairs.jsonl --output-dir rm --eval-share 0.1
prefdata train --recipe internvl3-mpo-8b --model OpenGVLab/InternVL3-8B-hf --data meta.json --output-dir out --nproc 8
prefdata train --stage sft --model ./model --data pairs.jsonl --output-dir out --nproc 2 --deepspeed zero1""",
)
def command(config: TrainConfig) -> int | None:
    """Train a model on preference pairs or conversations, or one that scores answers.

    Every pair is a tree: the prompt and its image run once, the two answers branch off. The output folder is a model
    that transformers loads, with train_log.jsonl (one line per step) and train.json (settings and versions) beside
    it. The last line on standard output is JSON.
    """
    from trainers.launch import launch

    return launch(config)
