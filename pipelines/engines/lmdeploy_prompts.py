"""Prompts for LMDeploy: our renderer as its chat template, messages with images, and proof of what became of them.

Where it stands: `lmdeploy.py` sends rows without images as token ids, which no template touches. Rows with images
have to go as messages, because LMDeploy places the image tokens itself. The decision to question: its chat template is
replaced. The one it picks renders string content alone (templates that take parts lose the question) and trims a begun
answer, and a template name that it does not know falls back to a bare one with no more than a warning. A template of
our own, registered as LMDeploy's documentation says, is the model's own template and keeps a prefix byte for byte.

Some of LMDeploy's vision models move images to the front of a turn or keep its first text only. `kept` compares what
was written with what was asked, so that such a row fails and not its answers.
"""

from collections.abc import Sequence
from typing import Any

from pipelines.engines.base import Request
from pipelines.engines.rendering import Renderer
from prefdata.errors import PrefdataError
from prefdata.records import MediaRef, Message, content_id

# Stands where an image is while the text around it is compared.
_IMAGE_MARK = "0PREFDATA0IMAGE0"


def chat_template(renderer: Renderer) -> Any:
    """LMDeploy's configuration of a chat template that writes what `renderer` writes."""
    from lmdeploy import ChatTemplateConfig
    from lmdeploy.model import MODELS, BaseChatTemplate

    class OwnTemplate(BaseChatTemplate):  # type: ignore[misc]
        """Stop words stay empty: LMDeploy adds the end tokens of tokenizer and generation_config.json."""

        def messages2prompt(self, messages: Any, **_: Any) -> str:
            turns = [{"role": "user", "content": messages}] if isinstance(messages, str) else list(messages)
            begun = turns.pop()["content"] if turns[-1]["role"] == "assistant" else ""
            return renderer.write(turns, begun)

    name = f"prefdata-{content_id(renderer.template)}"
    MODELS.register_module(name=name, module=OwnTemplate, force=True)
    return ChatTemplateConfig(model_name=name, model_path=renderer.model)


def image_messages(request: Request, images: Sequence[Any], settings: dict[str, int]) -> list[dict[str, Any]]:
    """The request as LMDeploy's messages, its images as PIL objects in their places, the prefix as last message."""
    turns = [_turn(turn, images, settings) for turn in request.messages]
    placed = sum(len(turn.media_indexes) for turn in request.messages)
    if placed != len(images):
        raise PrefdataError(f"{len(images)} images are given but {placed} have a place in the prompt.")
    return [*turns, {"role": "assistant", "content": request.prefix}] if request.prefix else turns


def pieces(request: Request, renderer: Renderer) -> list[str]:
    """The prompt as the texts before, between and after its images."""
    turns = [
        {
            "role": turn.role,
            "content": "".join(
                _IMAGE_MARK if isinstance(part, MediaRef) else part.text for part in turn.content
            ),
        }
        for turn in request.messages
    ]
    return renderer.write(turns, request.prefix).split(_IMAGE_MARK)


def kept(written: str, wanted: Sequence[str]) -> bool:
    """Whether `written` is the texts of `wanted` in their order with something, an image's tokens, between each two."""
    first, *middle, last = wanted
    if not (written.startswith(first) and written.endswith(last)):
        return False
    place = len(first)
    for text in middle:
        found = written.find(text, place + 1)
        if found < 0:
            return False
        place = found + len(text)
    return place < len(written) - len(last)


def _turn(turn: Message, images: Sequence[Any], settings: dict[str, int]) -> dict[str, Any]:
    if not turn.media_indexes:
        return {"role": turn.role, "content": turn.text}
    if turn.role != "user":
        raise PrefdataError(
            f"an image stands in the {turn.role}'s turn; LMDeploy takes images from the user alone"
        )
    parts: list[dict[str, Any]] = []
    for part in turn.content:
        if isinstance(part, MediaRef):
            parts.append({"type": "image_data", "image_data": {"data": images[part.index], **settings}})
        elif parts and parts[-1]["type"] == "text":
            # One text between two images: some of LMDeploy's models read no second one.
            parts[-1]["text"] += part.text
        else:
            parts.append({"type": "text", "text": part.text})
    return {"role": turn.role, "content": parts}
