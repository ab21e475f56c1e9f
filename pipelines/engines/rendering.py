"""From a request to the prompt text, by the model's own chat template: one renderer for every local engine.

Where it stands: `transformers`, `vllm` and `lmdeploy` send what `Renderer.prompt` returns, so the same row has the
same prompt on each. The decision to question: a prefix is not handed to the template. Templates trim what they are
given, and a prefix must survive byte for byte; so the template renders a mark in the assistant's last turn, the
prompt is cut there and the prefix put in its place. Tokenise the result without adding special tokens: the
template has written them.
"""

from collections.abc import Sequence
from typing import Any

from pipelines.engines.base import Request
from prefdata.errors import PrefdataError
from prefdata.records import MediaRef, Message

# No template has a reason to trim, split or escape this.
_MARK = "0PREFDATA0PREFIX0"
# Tokens of the prompt's end that are decoded along with an answer, so that the blank at the junction survives
# (see `Renderer.text_after`). More than the longest run of byte tokens of one character.
_JUNCTION = 12


class Renderer:
    """A model's tokenizer, processor (None for text-only models) and chat template."""

    def __init__(self, model: str, tokenizer: Any, processor: Any | None) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.processor = processor
        owner = processor if getattr(processor, "chat_template", None) else tokenizer
        template = getattr(owner, "chat_template", None)
        if isinstance(template, dict):
            template = template.get("default")
        if not template:
            raise PrefdataError(
                f"{model}: the model has no chat template, so a prompt cannot be written; use a chat model."
            )
        self.template: str = template
        self._owner: Any = owner
        self._takes_parts = self._accepts_parts()

    @property
    def takes_images(self) -> bool:
        """Whether the model's processor knows images."""
        return getattr(self.processor, "image_processor", None) is not None

    def prompt(self, request: Request) -> str:
        """The whole prompt: the template's text, then the prefix byte for byte."""
        turns = [{"role": turn.role, "content": self._parts(turn)} for turn in request.messages]
        return self.write(turns, request.prefix)

    def write(self, turns: Sequence[dict[str, Any]], prefix: str) -> str:
        """The same for turns of `role` and `content`; content is a string, or a list of text and image parts."""
        fitting = [{"role": turn["role"], "content": self._fit(turn["content"])} for turn in turns]
        if not prefix:
            return self._render(fitting, add_generation_prompt=True)
        begun = {"role": "assistant", "content": self._fit(_MARK)}
        text = self._render([*fitting, begun], add_generation_prompt=False)
        place = text.rfind(_MARK)
        if place < 0:
            raise PrefdataError(
                f"{self.model}: the chat template leaves out an unfinished answer, so none can be continued."
            )
        return text[:place] + prefix

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text, no special tokens added."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of token ids as it was, special tokens left out."""
        ids = list(token_ids)
        return str(self.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))

    def text_after(self, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """What `ids` add to the text of a prompt.

        Decoded alone, a first token of SentencePiece loses its blank; decoded behind the prompt's last tokens it
        keeps it. Where the two do not nest (a decoder that rewrites earlier text), the answer is decoded alone.
        """
        end = list(prompt_ids[-_JUNCTION:])
        before, whole = self.decode(end), self.decode([*end, *ids])
        return whole[len(before) :] if whole.startswith(before) else self.decode(ids)

    def _render(self, turns: list[dict[str, Any]], *, add_generation_prompt: bool) -> str:
        return str(
            self._owner.apply_chat_template(
                turns,
                chat_template=self.template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
            )
        )

    def _parts(self, turn: Message) -> list[dict[str, str]]:
        if turn.media_indexes and not self.takes_images:
            raise PrefdataError(
                f"{self.model}: the row has images, but the model takes text only; use a vision-language model."
            )
        return [
            {"type": "image"} if isinstance(part, MediaRef) else {"type": "text", "text": part.text}
            for part in turn.content
        ]

    def _fit(self, content: str | list[dict[str, Any]]) -> str | list[dict[str, Any]]:
        """Content as this template takes it: as parts, or as one string with the image token in its places."""
        parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
        if self._takes_parts:
            return parts
        token = getattr(self.processor, "image_token", "<image>")
        return "".join(part["text"] if part["type"] == "text" else token for part in parts)

    def _accepts_parts(self) -> bool:
        """Whether the template takes content as a list of parts; older ones print or refuse the list."""
        import jinja2

        turn = {"role": "user", "content": [{"type": "text", "text": _MARK}]}
        try:
            text = self._render([turn], add_generation_prompt=False)
        except (TypeError, jinja2.TemplateError):
            return False
        return _MARK in text and "'type'" not in text


def load_renderer(model: str, *, trust_remote_code: bool = False) -> Renderer:
    """Load the tokenizer, and the processor where the model has one."""
    from transformers import AutoProcessor, AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=trust_remote_code)
        processor = AutoProcessor.from_pretrained(model, trust_remote_code=trust_remote_code)
    except (OSError, ValueError, ImportError) as error:
        reason = " ".join(str(error).split())
        raise PrefdataError(f"{model}: the tokenizer or processor cannot be loaded ({reason}).") from error
    return Renderer(model, tokenizer, processor if hasattr(processor, "tokenizer") else None)
