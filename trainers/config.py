"""Every setting of `prefdata train`: flag, YAML key, help text, default and check in one place.

Where it stands: read by `cli.py`, handed whole to the worker processes, written into `train.json` beside the model.
The decision to question: `batch_size` is the number of pairs (or conversations) per optimiser step over *all*
processes. How they are cut into packed rows, and those into accumulation steps, follows from `max_tokens` and never
changes the loss.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Stage = Literal["sft", "reward", "dpo", "mpo"]


class TrainConfig(msgspec.Struct, kw_only=True, frozen=True, forbid_unknown_fields=True):
    """Settings of one training run."""

    stage: Annotated[
        Stage,
        Meta(
            description="What to train: sft (chosen answers), reward (a score head), dpo, or mpo (dpo + bco + sft).",
            extra={"preset": "recipe"},
        ),
    ]
    model: Annotated[str, Meta(description="Model folder, hub name owner/name, or `demo`.")]
    data: Annotated[str, Meta(description="One file of rows (sniffed) or a mixture such as meta.json.")]
    output_dir: Annotated[str, Meta(description="Folder for the trained model, its log and its checkpoints.")]
    recipe: Annotated[
        str | None,
        Meta(description="Settings of a published training, below --config and flags; `list` names them."),
    ] = None
    image_root: Annotated[
        str | None, Meta(description="Folder that image paths are relative to (one-file data).")
    ] = None
    seed: Annotated[int, Meta(ge=0, description="Seed of the data order and of everything random.")] = 0

    epochs: Annotated[float, Meta(gt=0, description="Passes over the data.")] = 1.0
    max_steps: Annotated[
        int, Meta(ge=0, description="Stop after this many steps; 0 = by --epochs. Data repeats.")
    ] = 0
    batch_size: Annotated[
        int, Meta(ge=1, description="Pairs (or conversations) per step, over all processes.")
    ] = 32
    learning_rate: Annotated[float, Meta(gt=0, description="Peak learning rate.")] = 5e-6
    warmup: Annotated[
        float, Meta(ge=0, lt=1, description="Share of the steps with rising learning rate.")
    ] = 0.03
    schedule: Annotated[
        Literal["cosine", "linear", "constant"], Meta(description="Learning rate after the warm-up.")
    ] = "cosine"
    weight_decay: Annotated[float, Meta(ge=0, description="AdamW weight decay.")] = 0.05
    adam_beta2: Annotated[float, Meta(gt=0, lt=1, description="AdamW second-moment decay.")] = 0.999
    max_grad_norm: Annotated[float, Meta(ge=0, description="Clip gradients to this norm; 0 = never.")] = 1.0

    beta: Annotated[
        float, Meta(gt=0, description="Reward = beta x (policy - reference log-probability).")
    ] = 0.1
    dpo_loss: Annotated[
        Literal["sigmoid", "ipo", "hinge", "robust"],
        Meta(description="dpo, mpo: form of the preference loss."),
    ] = "sigmoid"
    label_smoothing: Annotated[
        float, Meta(ge=0, lt=0.5, description="Share of wrong labels assumed by sigmoid and robust.")
    ] = 0.0
    dpo_weight: Annotated[float, Meta(ge=0, description="mpo: weight of the preference loss.")] = 0.8
    bco_weight: Annotated[float, Meta(ge=0, description="mpo: weight of the quality loss.")] = 0.2
    sft_weight: Annotated[float, Meta(ge=0, description="mpo: weight of the generation loss.")] = 1.0
    bco_delta: Annotated[
        Literal["none", "cumulative", "ema"],
        Meta(description="Reward shift of the quality loss: mean of past rewards."),
    ] = "ema"
    bco_decay: Annotated[float, Meta(ge=0, lt=1, description="Decay of the shift with --bco-delta ema.")] = (
        0.99
    )
    sft_normalise: Annotated[
        Literal["token", "sample"],
        Meta(description="Generation loss: mean over the step's tokens, or over its answers."),
    ] = "token"
    compat: Annotated[
        Literal["none", "trl", "internvl"],
        Meta(description="Compute losses as another trainer does, a packed row being its micro-batch."),
    ] = "none"

    pooling: Annotated[
        Literal["last", "mean", "token"],
        Meta(description="reward: score the last token, the mean of all tokens, or an added reward token."),
    ] = "last"
    reward_token: Annotated[
        str | None, Meta(description="reward: the token added with --pooling token, one the model knows.")
    ] = None
    reward_loss: Annotated[
        Literal["bradley-terry", "focal"],
        Meta(description="reward: the loss of a pair; focal weighs pairs less that are safely right."),
    ] = "bradley-terry"
    margin_weight: Annotated[
        float, Meta(ge=0, description="reward: how much of a row's margin the scores must differ by.")
    ] = 0.0
    centring_weight: Annotated[
        float, Meta(ge=0, description="reward: weight of (chosen + rejected score)^2, which centres scores.")
    ] = 0.0
    score_penalty: Annotated[
        Literal["none", "log-barrier", "l2"],
        Meta(description="reward: what keeps scores small; the log barrier keeps them in -5..5."),
    ] = "none"
    penalty_weight: Annotated[float, Meta(ge=0, description="reward: weight of --score-penalty.")] = 0.01

    filters: Annotated[
        str,
        Meta(
            description="Leave rows out by rules, comma list: template-leak, empty-answer, unbroken-run, repetition, "
            "ixc-quality."
        ),
    ] = ""
    max_length_ratio: Annotated[
        float, Meta(ge=0, description="Leave pairs out with one answer so many times as long; 0 = none.")
    ] = 0.0
    max_chosen_ratio: Annotated[
        float,
        Meta(ge=0, description="Leave pairs out with a chosen answer so many times as long; 0 = none."),
    ] = 0.0
    min_length_gap: Annotated[
        int, Meta(ge=0, description="Keep pairs whose lengths differ by less, whatever their ratio.")
    ] = 0
    length_unit: Annotated[
        Literal["auto", "characters", "words", "tokens"],
        Meta(description="Unit of these lengths; auto = words, or characters in writing without spaces."),
    ] = "auto"

    eval_data: Annotated[
        str | None, Meta(description="Held-out pairs (a file or a mixture) to evaluate on, never trained on.")
    ] = None
    eval_share: Annotated[
        float, Meta(ge=0, lt=1, description="Hold this share of the questions in --data out instead.")
    ] = 0.0
    eval_steps: Annotated[
        int, Meta(ge=0, description="Evaluate every so many steps; 0 = once, after the last.")
    ] = 0

    max_length: Annotated[
        int, Meta(ge=0, description="Longest prompt + answer in tokens; 0 = the model's limit.")
    ] = 0
    video_frames: Annotated[
        int, Meta(ge=1, description="Frames of a video that the model sees, evenly spread over it.")
    ] = 8
    max_tokens: Annotated[
        int, Meta(ge=1, description="Tokens of one packed row; lower it when memory runs out.")
    ] = 8192
    tree_cache: Annotated[
        str | None,
        Meta(
            description="Folder for tokenised rows, read again by later starts.  [default: in --output-dir]"
        ),
    ] = None
    on_bad_row: Annotated[
        Literal["fail", "skip"],
        Meta(description="A row that cannot be trained on: stop, or leave it out and count it."),
    ] = "fail"
    group_by_question: Annotated[
        bool, Meta(description="Run a question once for all its answers, with all their pairs in the loss.")
    ] = False
    share: Annotated[
        bool, Meta(description="Run prompt and image once per pair; --no-share is the padded path.")
    ] = True
    require_share: Annotated[
        bool, Meta(description="Stop instead of falling back when the self-check fails.")
    ] = False

    dtype: Annotated[
        Literal["auto", "fp32", "bf16"],
        Meta(description="Compute type; auto = bf16 on a GPU, fp32 on a CPU."),
    ] = "auto"
    save_dtype: Annotated[
        Literal["auto", "fp32", "bf16"],
        Meta(description="Type of the saved weights; auto = as in the input model."),
    ] = "auto"
    lora_rank: Annotated[
        int, Meta(ge=0, description="Train LoRA adapters of this rank; 0 = all parameters.")
    ] = 0
    lora_alpha: Annotated[int, Meta(ge=0, description="LoRA scale; 0 = twice the rank.")] = 0
    lora_targets: Annotated[
        str, Meta(description="LoRA: comma list of module names, or all-linear (of the language model).")
    ] = "all-linear"
    lora_dropout: Annotated[
        float, Meta(ge=0, lt=1, description="LoRA: dropout before the adapters; noise in every reward.")
    ] = 0.0
    lora_projector: Annotated[
        bool, Meta(description="LoRA: train the projector in full beside the adapters.")
    ] = False
    lora_vision_rank: Annotated[
        int, Meta(ge=0, description="LoRA: adapters of this rank on the vision tower as well; 0 = none.")
    ] = 0
    lora_vision_alpha: Annotated[int, Meta(ge=0, description="Their scale; 0 = twice the rank.")] = 0
    load_in_4bit: Annotated[
        bool, Meta(description="QLoRA: the frozen weights beneath the adapters in four bits (bitsandbytes).")
    ] = False
    freeze: Annotated[
        str, Meta(description="Parts that are not trained, a list: vision, projector, language.")
    ] = ""
    unfreeze_vit_layers: Annotated[
        int, Meta(ge=0, description="Train so many last layers of a vision tower that is frozen.")
    ] = 0
    vision_learning_rate: Annotated[
        float, Meta(ge=0, description="Peak learning rate of the vision tower; 0 = --learning-rate.")
    ] = 0.0
    projector_learning_rate: Annotated[
        float, Meta(ge=0, description="Peak learning rate of the projector; 0 = --learning-rate.")
    ] = 0.0
    liger: Annotated[bool, Meta(description="Liger's fused kernels (GPU), if liger-kernel is installed.")] = (
        False
    )
    gradient_checkpointing: Annotated[bool, Meta(description="Less memory, about a third more compute.")] = (
        False
    )

    deepspeed: Annotated[
        str,
        Meta(
            description="How weights, gradients and optimiser are cut over processes; FILE is a DeepSpeed JSON.",
            extra={"metavar": "none|zero1|zero2|zero3|zero3-offload|FILE"},
        ),
    ] = "zero1"
    nproc: Annotated[int, Meta(ge=1, description="Start this many processes on this machine.")] = 1
    save_steps: Annotated[
        int, Meta(ge=0, description="Write a checkpoint every so many steps; 0 = never.")
    ] = 0
    save_total: Annotated[int, Meta(ge=1, description="Checkpoints to keep.")] = 2
    resume: Annotated[
        bool, Meta(description="Go on from the last checkpoint in --output-dir, if there is one.")
    ] = False
    reference: Annotated[
        Literal["cached", "online", "none"],
        Meta(
            description="dpo, mpo: log-probabilities of the model as given, once before training, in every step, "
            "or taken as 0."
        ),
    ] = "cached"
    reference_cache: Annotated[
        str | None,
        Meta(description="Folder for cached reference log-probabilities.  [default: in --output-dir]"),
    ] = None
    num_workers: Annotated[
        Annotated[int, Meta(ge=0)] | None,
        Meta(
            description="Processes that make rows ahead of the device, and tokenise data that takes long.  "
            "[default: 4 on a GPU, else 0; for tokenising, the cores up to 8; never more than the cores]"
        ),
    ] = None
    report_to: Annotated[
        Literal["none", "tensorboard", "wandb", "trackio"],
        Meta(description="Send every step's numbers to a tracker too, if its package is installed."),
    ] = "none"
