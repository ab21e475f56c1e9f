"""A trained reward model: how its head is saved beside the model, and how the folder is loaded and asked for scores.

Where it stands: `run.py` saves, `load` gives back. A reward model's folder is an ordinary model folder, which plain
transformers loads and which still generates, plus two files:

    score_head.safetensors   `weight` [1, width], fp32
    reward.json              pooling, the reward token (or null), the types of the training, prefdata's version

The decision to question: scoring goes through the same trees, rows and heads as training, one prompt with all its
answers at a time, so that a score cannot depend on who asks.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec
import torch

from prefdata import __version__
from prefdata.errors import PrefdataError
from prefdata.jsonl import write_json
from prefdata.records import Conversation, Media, Message, PreferencePair, Record, Text
from trainers.build import TreeMaker
from trainers.config import TrainConfig
from trainers.families import Opened
from trainers.given import HEAD_FILE
from trainers.pixels import PixelStore
from trainers.rows import RowMaker
from trainers.scorehead import Pooling, ScoreHead, Whole, branch_scores, reward_token
from trainers.settings import DTYPES
from trainers.trees import BadRow, Tree

CARD_FILE: Final = "reward.json"
_NAMES: Final[dict[torch.dtype, Literal["fp32", "bf16"]]] = {torch.float32: "fp32", torch.bfloat16: "bf16"}


class Card(msgspec.Struct, frozen=True, kw_only=True):
    """What `reward.json` holds."""

    pooling: Pooling
    token: str | None
    dtype: str
    """fp32 or bf16: the compute type of the training, which scoring takes, too."""
    weights: Literal["fp32", "bf16"] = "fp32"
    """The type of the weights then, over which bf16 may be computed: bf16 with DeepSpeed, fp32 without."""
    shared: bool
    """Whether the trunk was run once; a model for which that failed is scored the plain way, too."""
    prefdata: str = ""


def save_head(folder: Path, weight: torch.Tensor, config: TrainConfig, maker: RowMaker) -> None:
    """Write the score head and what is needed to use it beside a model."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({"weight": weight.contiguous()}, folder / HEAD_FILE)
    card = Card(
        pooling=config.pooling,
        token=config.reward_token,
        dtype=_NAMES[maker.autocast_to or maker.dtype],
        weights=_NAMES[maker.dtype],
        shared=maker.share,
        prefdata=__version__,
    )
    write_json(folder / CARD_FILE, msgspec.to_builtins(card))


def load(folder: str | Path, *, device: str | None = None, max_tokens: int = 8192) -> "RewardModel":
    """The reward model in a folder. device: where it runs, a GPU where there is one; max_tokens: of one packed row."""
    from safetensors.torch import load_file

    from trainers import attention, families

    path = Path(folder)
    for name in (CARD_FILE, HEAD_FILE):
        if not (path / name).is_file():
            raise PrefdataError(
                f"{path}: is no reward model, it lacks {name}; train one with `prefdata train --stage reward`."
            )
    try:
        card = msgspec.json.decode((path / CARD_FILE).read_bytes(), type=Card)
    except msgspec.DecodeError as error:
        raise PrefdataError(
            f"{path / CARD_FILE}: cannot be read ({error}); train the model again."
        ) from error
    opened = families.open_model(str(path))
    # As in training, to the type of the weights: what a rounded model says of an answer is another score.
    dtype = DTYPES[card.weights]
    autocast = DTYPES[card.dtype] if card.dtype != card.weights else None
    place = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    model = families.load_weights(opened, dtype).to(place).eval()
    if card.shared:
        attention.install(model)
    head = ScoreHead(model)
    head.set_weight(load_file(path / HEAD_FILE)["weight"])
    maker = RowMaker(PixelStore(opened), opened.pad_id, max_tokens, place, dtype, autocast, card.shared)
    return RewardModel(opened, model, head, maker, card)


class RewardModel:
    """Gives answers scores: higher is better, differences matter, the level is arbitrary."""

    def __init__(self, opened: Opened, model: Any, head: ScoreHead, maker: RowMaker, card: Card) -> None:
        self.opened, self.model, self.head, self.maker, self.card = opened, model, head, maker, card
        self._token = reward_token(opened, card.pooling, card.token)

    def scores(
        self, records: Iterable[Record], folder: Path | None = None, root: Path | None = None
    ) -> list[tuple[float, ...]]:
        """The score of every answer of every record: (chosen, rejected) of a pair, one of a conversation.

        folder, root: where relative image paths start, as for a data file in `folder` with an image root.
        """
        trees = [
            self._tree(record, f"record {number}", folder or Path(), root)
            for number, record in enumerate(records)
        ]
        return self.score_trees(Whole(trees, self._token))

    def score(
        self, chats: Sequence[Sequence[dict[str, Any]]], images: Sequence[Sequence[str | Path]] = ()
    ) -> list[float]:
        """The score of each chat, a list of {role, content} that ends with the answer.

        images: for each chat the files it shows, which stand in front of its first question; empty = none shows any.
        """
        if images and len(images) != len(chats):
            raise PrefdataError(
                f"{len(chats)} chats with {len(images)} lists of images; give one list per chat, [] for none."
            )
        shown = images or [[] for _ in chats]
        records = [_conversation(chat, files) for chat, files in zip(chats, shown, strict=True)]
        return [found[0] for found in self.scores(records)]

    @torch.no_grad()
    def score_trees(self, trees: Sequence[Tree]) -> list[tuple[float, ...]]:
        """The score of every branch of trees as `scorehead.Whole` makes them."""
        self.model.eval()
        found: dict[int, tuple[float, ...]] = {}
        for members in self.maker.cut(trees):
            row = self.maker.make([trees[member] for member in members])
            with self.maker.autocast():
                scores = branch_scores(self.model, self.head, row, self.card.pooling)
            values = iter(scores.tolist())
            for member in members:
                found[member] = tuple(next(values) for _ in trees[member].branches)
        return [found[number] for number in range(len(trees))]

    def _tree(self, record: Record, place: str, folder: Path, root: Path | None) -> Tree:
        maker = TreeMaker(
            self.opened,
            self.maker.pixels,
            isinstance(record, PreferencePair),
            self.opened.max_length,
        )
        try:
            return maker.tree(record, place, folder, root)
        except BadRow as error:
            raise PrefdataError(f"{place}: {error}; it cannot be scored.") from error


def _conversation(chat: Sequence[dict[str, Any]], files: Sequence[str | Path]) -> Record:
    turns = []
    for turn in chat:
        role, content = turn.get("role"), turn.get("content")
        if role not in ("system", "user", "assistant") or not isinstance(content, str):
            raise PrefdataError(
                f"a turn of a chat is {str(turn)[:80]}; give {{role: system, user or assistant, content: text}}."
            )
        turns.append(Message(role=role, content=(Text(content),)))
    if not turns or turns[-1].role != "assistant":
        raise PrefdataError("a chat must end with the assistant's answer, which is what is scored.")
    media = tuple(Media(kind="image", uri=str(Path(file).absolute())) for file in files)
    return Conversation(messages=tuple(turns), media=media)
