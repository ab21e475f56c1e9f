"""Which format is this file? Decided by content, never by the name.

Where it stands: every command that reads a data file asks here first, unless the user names the format. First the
container (`containers.probe`), then the keys of the first rows in a fixed order (`_BY_KEYS`); the reason is told, and
where a neighbouring format would fit as well it is named. A file of a known shape that this version does not read is
refused with that shape's name.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from prefdata.containers import Container, head_rows, probe
from prefdata.errors import PrefdataError

Row = dict[str, Any]


class Sniffed(msgspec.Struct, frozen=True):
    """A file's format id (or a mixture's kind), its container, and why."""

    format: str
    container: Container
    reason: str


def sniff(path: Path) -> Sniffed:
    """The format of a file. Raises PrefdataError when it cannot be told or is not one that is read here."""
    probed = probe(path)
    if probed.container == "meta":
        return Sniffed("meta", "meta", "an object of sources with `annotation`: an InternVL mixture")
    rows = head_rows(path, probed.container)
    if not rows:
        raise PrefdataError(f"{path}: no readable row to tell the format from; name it with --format.")
    best: tuple[str, str] | None = None
    for row in rows:
        if (found := by_keys(row, probed.container)) is not None:
            best = found
            # Text-only rows fit several conversation formats; an image decides.
            if "image" in row or "images" in row or found[0] not in _CHATS:
                break
    if best is None:
        keys = ", ".join(f"`{key}`" for key in list(rows[0])[:8]) or "no keys"
        raise PrefdataError(f"{path}: no known format has rows with {keys}; name one with --format.")
    name, reason = best
    if name not in READABLE:
        raise PrefdataError(
            f"{path}: looks like `{name}` ({reason}), which is not read here; formats that are: {', '.join(READABLE)}."
        )
    return Sniffed(name, probed.container, reason)


READABLE = ("mmpr", "trl", "ixc-reward", "lf-sharegpt", "internvl-sft", "llava", "qa")
_CHATS = ("llava", "internvl-sft", "sharegpt")


def by_keys(row: Row, container: Container = "jsonl") -> tuple[str, str] | None:
    """(format id, reason) of one row."""
    for test in _BY_KEYS:
        if (found := test(row)) is not None:
            return found
    if "conversations" in row:
        return _conversations(row, container)
    return _last(row)


def _pairs_of_conversations(row: Row) -> tuple[str, str] | None:
    if "conversations_a" in row and "conversations_b" in row:
        return "ixc-reward", "`conversations_a` and `conversations_b`"
    if "conversations" in row and "rejected_conversations" in row:
        return "povid", "`conversations` and `rejected_conversations`"
    if ("conversations" in row or "messages" in row) and isinstance(row.get("chosen"), dict):
        return "lf-sharegpt", "`chosen` is one turn beside the conversation"
    if "messages" in row and any(
        key in row for key in ("rejected_response", "rejected_messages", "rejected_images")
    ):
        return "swift", "`messages` with a rejected side"
    if "chosen_messages" in row and "rejected_messages" in row:
        return "lf-v1", "`chosen_messages` and `rejected_messages` (LLaMA-Factory v1)"
    return None


def _ranked(row: Row) -> tuple[str, str] | None:
    answers, completions = row.get("answers"), row.get("completions")
    if isinstance(answers, list) and answers and isinstance(answers[0], dict) and "rank" in answers[0]:
        return "nectar", "`answers` with ranks"
    first = completions[0] if isinstance(completions, list) and completions else completions
    if isinstance(first, dict) and "annotations" in first:
        name = "vlfeedback" if "img_path" in row else "ultrafeedback"
        return name, "`completions` with `annotations`"
    if "query" in row and "response" in row and "human_ranking" in row:
        return "vlrb", "`query`, `response` and `human_ranking`"
    return None


def _flat(row: Row) -> tuple[str, str] | None:
    if "question" in row and "chosen" in row and "rejected" in row:
        image = row.get("image")
        if isinstance(image, dict) and ("idx" in row or "ds_name" in row):
            return "rlaifv", "`question` with an inline image and `idx`"
        if "image_name" in row or "class1" in row or isinstance(image, dict):
            return "spavl", "`question` with an inline image"
        return "mmpr", "`question`, `chosen` and `rejected`"
    if "instruction" in row and "chosen" in row:
        return "lf-alpaca", "`instruction` with `chosen`"
    if "question" in row and isinstance(row["question"], str):
        return "qa", "`question` without `rejected`"
    return None


def _chosen_rejected(row: Row) -> tuple[str, str] | None:
    if "chosen" not in row or "rejected" not in row:
        return None
    chosen = row["chosen"]
    if "prompt" in row:
        if "score_chosen" in row:
            return "ultrafeedback", "`score_chosen` beside full conversations"
        if "subset" in row:
            return "rewardbench", "`prompt`, `chosen`, `rejected` and `subset`"
        if isinstance(chosen, list) and len(chosen) == 3 and all(isinstance(item, str) for item in chosen):
            return "rmbench", "`chosen` and `rejected` are three texts each"
        reason = "`prompt`, `chosen` and `rejected`"
        if isinstance(row["prompt"], list) and not any(key in row for key in ("images", "image")):
            reason += " (rows of `xtuner-pref` look the same)"
        return "trl", reason
    if isinstance(chosen, str) and "\n\nHuman:" in chosen:
        return "hh", "`chosen` and `rejected` are Human/Assistant transcripts"
    return "trl", "`chosen` and `rejected` with the prompt in both (implicit)"


_BY_KEYS: tuple[Callable[[Row], tuple[str, str] | None], ...] = (
    _pairs_of_conversations,
    _ranked,
    _flat,
    _chosen_rejected,
)


def _conversations(row: Row, container: Container) -> tuple[str, str] | None:
    turns = row["conversations"]
    text = msgspec.json.encode(turns).decode()
    if "images" in row or "videos" in row or "audios" in row:
        return "lf-sharegpt", "`conversations` with media lists"
    if "<ImageHere>" in text:
        version = (
            "ixc-sft-2.0" if isinstance(row.get("image"), list) and len(row["image"]) == 1 else "ixc-sft-2.5"
        )
        return version, "`conversations` with `<ImageHere>`"
    said = (
        {turn.get("from") for turn in turns if isinstance(turn, dict)} if isinstance(turns, list) else set()
    )
    if "bot" in said or ("image" in row and "<image>" not in text and "user" in said):
        return "ixc-sft-2.5", "`conversations` with XComposer's roles"
    if said <= {"human", "gpt"} and said:
        if container == "jsonl":
            return "internvl-sft", "`conversations` of human and gpt in JSON lines (`llava` is a JSON array)"
        return "llava", "`conversations` of human and gpt in a JSON array (`internvl-sft` is JSON lines)"
    return "sharegpt", "`conversations` with other roles than human and gpt"


def _last(row: Row) -> tuple[str, str] | None:
    if "messages" in row:
        turns = row["messages"]
        first = turns[0] if isinstance(turns, list) and turns and isinstance(turns[0], dict) else {}
        plain = isinstance(first.get("content"), str)
        if plain and "role" in first and any(key in row for key in ("images", "videos", "audios")):
            return (
                "lf-sharegpt",
                "`messages` with media lists and markers in plain text (`swift` rows look the same)",
            )
        return "openai", "`messages`"
    if "prompt" in row and "completion" in row and "label" in row:
        return "trl-unpaired", "`prompt`, `completion` and `label`"
    return None
