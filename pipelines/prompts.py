r"""What the model is asked: the question in one of nine fixed forms, or as it stands.

`en`/`zh` ask for reasoning and a last line `Final answer: ...` (`答案: ...`), the instruction before the question;
`en_v2`/`zh_v2` put the question first and ask for `Answer: \boxed{...}`; `en_r1`/`zh_r1` ask for `<think>` and a box.
`en_background`, `en_visual` and `en_grounded` are `en` with what the reasoning has to begin with: knowledge, a
description of the picture, or regions of it (the three further styles of the MPO paper, arXiv 2411.10442).
`plain` leaves the question alone, for models trained on one fixed form. The markers are an interface (judging looks
for them, and files sampled elsewhere hold them); the wording around them is ours.
"""

import re
from pathlib import Path
from typing import Final

import msgspec

from prefdata.errors import PrefdataError, from_os_error
from prefdata.records import Media, MediaRef, Message, Part, Text, merge_text, unplaced


class Template(msgspec.Struct, frozen=True):
    """The text before and after the question."""

    before: str = ""
    after: str = ""


_MARKED = (
    " When you are done, give the result on a line of its own that begins with the marker, in this form:\n"
    "Final answer: ..\n\nQuestion:\n"
)

_PLACE: Final = "{question}"

TEMPLATES: Final[dict[str, Template]] = {
    "plain": Template(),
    "en": Template(
        before=(
            "Work through the question below carefully, one step after another, and write your reasoning down."
            + _MARKED
        )
    ),
    "zh": Template(
        before=(
            "请仔细思考下面的问题，逐步推理并写出你的推理过程。推理结束后，另起一行，按照以下格式给出结果：\n"
            "答案: ...\n\n问题:\n"
        )
    ),
    "en_v2": Template(
        after=(
            "\n\nReason step by step before you answer. The last line of your response must have exactly this form, "
            "with the result in place of $FINAL_ANSWER:\nAnswer: \\boxed{$FINAL_ANSWER}\n\n"
            "If you cannot be certain, make a reasoned guess. Do not repeat the same steps without end."
        )
    ),
    "zh_v2": Template(
        after=(
            "\n\n请先逐步推理，再作答。回答的最后一行必须严格采用以下格式，用结果替换 $FINAL_ANSWER：\n"
            "答案：\\boxed{$FINAL_ANSWER}\n\n如果无法完全确定，请给出有依据的猜测。不要无休止地重复相同的步骤。"
        )
    ),
    "en_r1": Template(
        before=(
            "You first think about a question and then answer it. Put all of your thinking between <think> and "
            "</think>. After </think>, write an answer that can be understood without the thinking.\n\n"
        ),
        after="\n\nPut the final result of your answer in \\boxed{}.",
    ),
    "zh_r1": Template(
        before=(
            "你会先思考问题，再给出回答。请把全部思考过程写在 <think> 和 </think> 之间；在 </think> 之后，"
            "写出不依赖思考过程也能读懂的回答。\n\n"
        ),
        after="\n\n请把回答的最终结果写在 \\boxed{} 中。",
    ),
    "en_background": Template(
        before=(
            "First recall the knowledge that the question below draws on, such as definitions, laws and facts, and "
            "write it down. Then apply it to the question, one step after another." + _MARKED
        )
    ),
    "en_visual": Template(
        before=(
            "First describe what the picture shows as far as it matters for the question below: objects, text, "
            "numbers, and how they lie. Then reason from your description, one step after another." + _MARKED
        )
    ),
    "en_grounded": Template(
        before=(
            "Work through the question below carefully, one step after another. Whenever you speak of something in the "
            "picture, say where it is, in the form <ref>name</ref><box>[[x1, y1, x2, y2]]</box> with coordinates from "
            "0 to 1000." + _MARKED
        )
    ),
}

# Instructions for a short answer contradict the request for reasoning; only at the very end of a question are they cut.
_SHORT_ANSWER: Final = re.compile(
    r"\s*(?:please\s+)?(?:"
    r"answer the question (?:using|with) a single word or (?:a )?phrase"
    r"|answer with the (?:option'?s? letter|letter of the option)(?: from the given choices)?(?: directly)?"
    r"|answer (?:the question )?(?:with |by )?yes or no"
    r"|(?:answer the question and )?(?:put|place|write|give|provide) (?:the|your) final answer (?:with)?in "
    r"(?:the )?(?:\$?\\boxed\{\}\$?|box)"
    r")\s*\.?\s*$",
    re.IGNORECASE,
)


def own_template(path: Path) -> Template:
    """The template that a file holds: its text, with `{question}` where the question goes."""
    try:
        text = path.read_text(encoding="utf-8-sig").removesuffix("\n")
    except OSError as error:
        raise from_os_error(error) from error
    except UnicodeDecodeError as error:
        raise PrefdataError(f"{path}: not UTF-8 text; save it as UTF-8.") from error
    parts = text.split(_PLACE)
    if len(parts) != 2:
        raise PrefdataError(
            f"{path}: holds {_PLACE} {len(parts) - 1} times; write it once, where the question goes."
        )
    return Template(*parts)


def without_short_answer_request(text: str) -> str:
    """Cut one known short-answer instruction from the end of a question."""
    return _SHORT_ANSWER.sub("", text)


def front_single_image(turn: Message, media: tuple[Media, ...]) -> Message:
    """The original's placeholder rule on records: one image goes to the very front, several stay where they are.

    Images the question never places go to the front too, each on its own line.
    """
    missing = [MediaRef(index) for index in unplaced((turn,), media)]
    placed = [part for part in turn.content if isinstance(part, MediaRef)]
    if len(placed) + len(missing) == 1 and placed:
        rest = merge_text(tuple(part for part in turn.content if not isinstance(part, MediaRef)))
        first = rest[0] if rest else None
        if isinstance(first, Text):  # the blank line that followed the placeholder goes with it
            rest = (Text(first.text.lstrip("\n")), *rest[1:])
        return Message(turn.role, merge_text((placed[0], Text("\n"), *rest)))
    front: list[Part] = []
    for part in missing:
        front += [part, Text("\n")]
    return Message(turn.role, merge_text((*front, *turn.content)))


def build(prompt: tuple[Message, ...], media: tuple[Media, ...], template: Template) -> tuple[Message, ...]:
    """The messages to send: the last user turn in the form of `template`, with images placed."""
    at = max(index for index, turn in enumerate(prompt) if turn.role == "user")
    turn = prompt[at]
    if template != TEMPLATES["plain"]:
        turn = _dressed(turn, template)
    # Images that only an earlier turn could show are left to the ordinary rule of that turn.
    others = tuple(t for i, t in enumerate(prompt) if i != at)
    mine = tuple(m for i, m in enumerate(media) if i not in {x for t in others for x in t.media_indexes})
    turn = front_single_image(turn, media) if len(mine) == len(media) else turn
    return (*prompt[:at], turn, *prompt[at + 1 :])


def _dressed(turn: Message, template: Template) -> Message:
    content = list(turn.content)
    if content and isinstance(content[-1], Text):
        content[-1] = Text(without_short_answer_request(content[-1].text))
    if content and isinstance(content[0], Text):
        content[0] = Text(content[0].text.lstrip())
    return Message(turn.role, merge_text((Text(template.before), *content, Text(template.after))))
