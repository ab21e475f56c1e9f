"""The tests of `sniff.py`: what the keys of one row say about its format, as (format id, reason) or None.

The order inside each function and between them is the specification's; a key that only one format has comes before keys
that several share.
"""

from typing import Any

import msgspec

from prefdata.containers import Container
from prefdata.formats.othernames import ASKED, REJECTED, says, worse_key
from prefdata.spelling import is_near

Row = dict[str, Any]
Told = tuple[str, str] | None
_REJECTED = (
    "rejected_response",
    "rejected_messages",
    "rejected_images",
    "rejected_videos",
    "rejected_audios",
)
_MEDIA = ("images", "videos", "audios")


def pairs(row: Row) -> Told:
    """Rows whose sides are turns or conversations under keys of their own."""
    if "conversations_a" in row and "conversations_b" in row:
        return "ixc-reward", "`conversations_a` and `conversations_b`"
    if "conversations" in row and "rejected_conversations" in row:
        return "povid", "`conversations` and `rejected_conversations`"
    if ("conversations" in row or "messages" in row) and isinstance(row.get("chosen"), dict):
        return "lf-sharegpt", "`chosen` is one turn beside the conversation"
    if _texts_beside_turns(row):
        return "lf-sharegpt", "`chosen` and `rejected` are texts beside the conversation"
    if "chosen_messages" in row and "rejected_messages" in row:
        return "lf-v1", "`chosen_messages` and `rejected_messages`"
    if ("messages" in row or "query" in row) and any(key in row for key in _REJECTED):
        return "swift", "a conversation with a rejected side"
    if "messages" in row and "chosen" not in row and "prompt" not in row and says(row.get("rejected")):
        return "swift", "a conversation with a rejected side, though not under ms-swift's key"
    return None


def _texts_beside_turns(row: Row) -> bool:
    texts = all(isinstance(row.get(key), str) for key in ("chosen", "rejected"))
    return texts and ("conversations" in row or "messages" in row) and not any(key in row for key in ASKED)


def ranked(row: Row) -> Told:
    """Rows with several rated answers."""
    answers, completions = row.get("answers"), row.get("completions")
    if isinstance(answers, list) and answers and isinstance(answers[0], dict) and "rank" in answers[0]:
        return "nectar", "`answers` with ranks"
    first = completions[0] if isinstance(completions, list) and completions else completions
    if isinstance(first, dict) and ("annotations" in first or "overall_score" in first):
        name = "vlfeedback" if "img_path" in row or "image" in row else "ultrafeedback"
        return name, "`completions` with `annotations`"
    if "query" in row and "response" in row and "human_ranking" in row:
        return "vlrb", "`query`, `response` and `human_ranking`"
    return None


def flat(row: Row) -> Told:
    """Flat questions: `question`, `instruction`, `prompt`; and sides without a prompt of their own."""
    if "question" in row and "chosen" in row and "rejected" in row:
        image = row.get("image")
        if isinstance(image, dict) and ("idx" in row or "ds_name" in row):
            return "rlaifv", "`question` with an inline image and `idx`"
        if "image_name" in row or "class1" in row or isinstance(image, dict):
            return "spavl", "`question` with an inline image"
        return "mmpr", "`question`, `chosen` and `rejected`"
    if isinstance(row.get("question"), str) and (
        worse_key(row) is not None or any(key == "rejected" or is_near(key, "rejected") for key in row)
    ):
        return "mmpr", "`question` with a rejected side"
    if "instruction" in row and ("chosen" in row or "output" in row):
        return "lf-alpaca", f"`instruction` with `{'chosen' if 'chosen' in row else 'output'}`"
    if isinstance(row.get("question"), str):
        return "qa", "`question` without `rejected`"
    if "chosen" in row and "rejected" in row:
        return _prompted(row) if "prompt" in row else _implicit(row)
    if "prompt" in row and "completion" in row:
        if "label" in row:
            return "trl", "`prompt`, `completion` and `label` (unpaired)"
        return "trl", "`prompt` and `completion` (a conversation)"
    return None


def _prompted(row: Row) -> Told:
    chosen, prompt = row["chosen"], row["prompt"]
    if "score_chosen" in row and isinstance(chosen, list):
        return "ultrafeedback", "`score_chosen` beside full conversations (binarized)"
    if "subset" in row and isinstance(chosen, str):
        return "rewardbench", "`prompt`, `chosen`, `rejected` and `subset`"
    if isinstance(chosen, list) and len(chosen) == 3 and all(isinstance(item, str) for item in chosen):
        return "rmbench", "`chosen` and `rejected` are three texts each"
    reason = "`prompt`, `chosen` and `rejected`"
    if isinstance(prompt, list) and not any(key in row for key in ("images", "image")):
        reason += " (rows of `xtuner-pref` look the same)"
    return "trl", reason


def _implicit(row: Row) -> Told:
    chosen = row["chosen"]
    if isinstance(chosen, str) and any(is_near(key, "question") for key in row):
        return "mmpr", "`chosen` and `rejected` with a key that is nearly `question`"
    if isinstance(chosen, str) and "\n\nHuman:" in chosen:
        return "hh", "`chosen` and `rejected` are Human/Assistant transcripts"
    asked = next((key for key in ASKED if isinstance(row.get(key), str)), None)
    if isinstance(chosen, str) and asked is not None:
        return "mmpr", f"`chosen` and `rejected` with the question under `{asked}`"
    return "trl", "`chosen` and `rejected` with the prompt in both (implicit)"


def two_answers(row: Row) -> Told:
    """Shapes met in the wild, each with a key that no other format has."""
    if "response_0" in row and "response_1" in row and "better_response_id" in row:
        return "pku", "`response_0`, `response_1` and `better_response_id`"
    if "output_1" in row and "output_2" in row and "label" in row:
        return "llmbar", "`output_1`, `output_2` and `label`"
    if "context" in row and "answer_w" in row and "answer_l" in row:
        return "turbo-alignment", "`context`, `answer_w` and `answer_l`"
    if "context" in row and "answer" in row and "is_desirable" in row:
        return "turbo-alignment", "`context`, `answer` and `is_desirable`"
    if "question_id" in row and isinstance(row.get("text"), str) and isinstance(row.get("image"), str):
        return "llava-eval", "`question_id`, `image` and `text`"
    if isinstance(row.get("query"), str) and isinstance(row.get("response", ""), str):
        return "swift", "`query` and `response`"
    return None


def conversations(row: Row, container: Container) -> Told:
    """Conversations without sides: roles, placeholders and media keys decide."""
    if "conversations" not in row:
        rounds = row["conversation"]
        if isinstance(rounds, list) and rounds and isinstance(rounds[0], dict) and "human" in rounds[0]:
            return "sharegpt", "`conversation` of {human, assistant} rounds"
        return None
    turns = row["conversations"]
    if any(says(row.get(key)) for key in REJECTED):
        return "lf-sharegpt", "`conversations` with a rejected side"
    text = msgspec.json.encode(turns).decode()
    if any(key in row for key in _MEDIA) or isinstance(row.get("label"), bool):
        return "lf-sharegpt", "`conversations` with media lists or a label"
    image = row.get("image")
    if "<ImageHere>" in text and image:
        version = "ixc-sft-2.0" if isinstance(image, list) and len(image) == 1 else "ixc-sft-2.5"
        return version, "`conversations` with `<ImageHere>`"
    said = (
        {str(turn.get("from")) for turn in turns if isinstance(turn, dict)}
        if isinstance(turns, list)
        else set()
    )
    if "bot" in said or (image and "<image>" not in text and "user" in said):
        return "ixc-sft-2.5", "`conversations` with XComposer's roles (`ixc-sft-2.0` marks every image)"
    if said <= {"human", "gpt"} and said:
        if container == "jsonl":
            return "internvl-sft", "`conversations` of human and gpt in JSON lines (`llava` is a JSON array)"
        return "llava", "`conversations` of human and gpt in a JSON array (`internvl-sft` is JSON lines)"
    return "sharegpt", "`conversations` with other roles than human and gpt"


def messages(row: Row) -> Told:
    """`messages` without sides."""
    turns = row.get("messages")
    if not isinstance(turns, list) or not turns or not isinstance(turns[0], dict) or "role" not in turns[0]:
        return None
    parts = [
        part
        for turn in turns
        if isinstance(turn, dict) and isinstance(turn.get("content"), list)
        for part in turn["content"]
        if isinstance(part, dict)
    ]
    if "ground_truth" in row:
        return "rlvr", "`messages` with `ground_truth`"
    if any("value" in part for part in parts):
        return "lf-v1", "`messages` with parts of {type, value}"
    if any(key in row for key in _MEDIA) or "image" in row:
        if {"type": "image"} in parts:
            return "trl", "`messages` with {type: image} parts and `images`"
        if not parts and not any(f"<{kind}>" in str(turns) for kind in ("image", "video", "audio")):
            return "swift", "`messages` with media lists and no markers in the text"
        if any(
            isinstance(turn, dict) and turn.get("role") in ("tool_call", "tool_response") for turn in turns
        ):
            return "swift", "`messages` with media lists and ms-swift's roles for tools"
        return "lf-sharegpt", "`messages` with media lists and markers in plain text (`swift` reads them too)"
    if isinstance(row.get("label"), bool):
        return "lf-sharegpt", "`messages` with `label` (KTO; rows of `swift` look the same)"
    if any(isinstance(turn, dict) and turn.get("role") in ("tool_call", "tool_response") for turn in turns):
        return "swift", "`messages` with ms-swift's roles for tools"
    return "openai", "`messages`"


def not_data(row: Row) -> str | None:
    """What a row is that is known, but no record can be made of it."""
    if "answer1" in row and "answer2" in row and "prompt" in row:
        return "pairs of answers that nobody has compared yet (`answer1`, `answer2`)"
    if "raw_text" in row and isinstance(row.get("completions"), list):
        return "answers waiting to be rated (`raw_text`, `completions` without ratings)"
    if "review_id" in row and "score" in row:
        return "a judge's reviews (`review_id`, `score`), not the answers themselves"
    if "generation" in row and "problem" in row:
        return (
            "generated samples (`problem`, `generation`); `prefdata judge` reads them with --prediction-key"
        )
    if "request" in row and "response" in row:
        return "answers to be judged (`request`, `response`), not pairs"
    if "text" in row and isinstance(row.get("images"), list):
        return "captions (`images`, `text`) without anybody who speaks"
    turns = row.get("messages")
    if "toy_text" in row or any("toy_input" in t for t in _objects(turns)):
        return "rows of a custom XTuner data set (`toy_...`); rename its keys"
    if "response" in row and "all_choices" in row:
        return "a model's predictions (`response`, `all_choices`) without the questions"
    if _is_source(row) or (row and all(isinstance(v, dict) and _is_source(v) for v in row.values())):
        return "a registry of data sets (`dataset_info.json`), not data"
    if row and all(isinstance(value, str) for value in row.values()) and len(row) > 20:
        return "an object of texts under ids (a prediction file), not rows"
    return None


def _objects(value: Any) -> list[Row]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _is_source(value: dict[str, Any]) -> bool:
    return any(
        key in value for key in ("file_name", "hf_hub_url", "ms_hub_url", "script_url", "ms_dataset_id")
    )
