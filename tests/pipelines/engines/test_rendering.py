"""Prompts by a model's own template: parts and plain strings, images in their places, a prefix byte for byte."""

from typing import Any

import pytest

from pipelines.engines.base import Request
from pipelines.engines.rendering import Renderer
from prefdata.errors import PrefdataError
from prefdata.records import MediaRef, Message, Text, message

# Trims what it is given and wants plain strings, as older templates do.
STRINGS = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] | trim }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
PARTS = (
    "{% for m in messages %}<{{ m['role'] }}>{% for p in m['content'] %}"
    "{% if p['type'] == 'image' %}<img>{% else %}{{ p['text'] | trim }}{% endif %}{% endfor %}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_ASSISTANT = "{% for m in messages %}{% if m['role'] == 'user' %}{{ m['content'] }}{% endif %}{% endfor %}"


class Tokenizer:
    """Renders templates as transformers does, without a model."""

    def __init__(self, template: str | None) -> None:
        self.chat_template = template

    def apply_chat_template(self, turns: list[dict[str, Any]], *, chat_template: str, **options: Any) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        options.pop("tokenize")
        rendered = render_jinja_template([turns], chat_template=chat_template, **options)
        return str(rendered[0][0])


class Processor(Tokenizer):
    """A processor that takes images."""

    image_processor = object()
    image_token = "<IMAGE>"


@pytest.fixture(autouse=True)
def _needs_transformers() -> None:
    pytest.importorskip("transformers")


def renderer(template: str | None, *, images: bool = False) -> Renderer:
    owner = Processor(template) if images else Tokenizer(template)
    return Renderer("a model", owner, owner if images else None)


@pytest.mark.parametrize("template", [STRINGS, PARTS])
@pytest.mark.parametrize("prefix", [" two  blanks ", "a line\n\n", "首都は", "$x^2", "0PREFDATA0"])
def test_a_prefix_is_joined_byte_for_byte(template: str, prefix: str) -> None:
    asked = Request(id="a", messages=(message("user", "Q?"),), prefix=prefix)
    assert renderer(template).prompt(asked) == "<user>Q?</s><assistant>" + prefix


@pytest.mark.parametrize("template", [STRINGS, PARTS])
def test_without_a_prefix_an_answer_is_opened(template: str) -> None:
    turns = (message("user", "Q?"), message("assistant", "A."), message("user", "And?"))
    prompt = renderer(template).prompt(Request(id="a", messages=turns))
    assert prompt == "<user>Q?</s><assistant>A.</s><user>And?</s><assistant>"


def test_images_keep_their_places() -> None:
    turn = Message("user", (Text("left "), MediaRef(0), Text(" right "), MediaRef(1)))
    asked = Request(id="a", messages=(turn,), images=(b"", b""))
    assert renderer(PARTS, images=True).prompt(asked) == "<user>left<img>right<img></s><assistant>"
    assert renderer(STRINGS, images=True).prompt(asked) == "<user>left <IMAGE> right <IMAGE></s><assistant>"


def test_what_cannot_be_written_is_said() -> None:
    picture = Message("user", (MediaRef(0),))
    with pytest.raises(PrefdataError, match="takes text only"):
        renderer(PARTS).prompt(Request(id="a", messages=(picture,), images=(b"",)))
    with pytest.raises(PrefdataError, match="no chat template"):
        renderer(None)
    with pytest.raises(PrefdataError, match="none can be continued"):
        renderer(NO_ASSISTANT).prompt(Request(id="a", messages=(message("user", "Q"),), prefix="p"))
