"""The LMDeploy engine on rows with images: its own vision models prepare them, our template writes the prompt."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from pipelines.engines.base import Request
from pipelines.engines.lmdeploy_prompts import chat_template, image_messages, kept, pieces
from pipelines.engines.rendering import load_renderer
from pipelines.probe import probe
from prefdata.records import MediaRef, Message, Text
from tests.lmdeploy.conftest import Asked, Running
from tests.lmdeploy.models import save_internvl, save_internvl_chat, save_qwen3_vl
from tests.support.tiny_models import save_llava

pytest.importorskip("lmdeploy")


def picture(colour: str = "red") -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(stream, "PNG")
    return stream.getvalue()


def request(*content: MediaRef | Text, images: int = 1, **more: Any) -> Request:
    parts = content or (MediaRef(0), Text("\n"), Text("What is this?"))
    colours = ("red", "blue", "green")
    pictures = tuple(picture(colour) for colour in colours[:images])
    return Request(id="row", messages=(Message("user", parts),), images=pictures, **more)


def answering(running: Running) -> Running:
    def seed_as_digits(asked: Asked) -> tuple[list[int], str]:
        return running.engine.encode(str(asked.settings.random_seed)), "FINISH"

    running.core.answer = seed_as_digits
    return running


@pytest.fixture
def running(start: Callable[..., Running], tmp_path: Path) -> Running:
    """InternVL, of LMDeploy's older kind: it writes the image token into the question by itself."""
    return answering(start(save_internvl(tmp_path)))


@pytest.fixture
def qwen(start: Callable[..., Running], tmp_path: Path) -> Running:
    """Qwen3-VL, of its newer kind: the template gets the parts and writes the image token."""
    return answering(start(save_qwen3_vl(tmp_path)))


def test_passes_the_probe(running: Running) -> None:
    assert running.abilities.images is True
    running.runner.run(probe(running.engine, running.abilities, images=True, prefix=True, n=2))


def test_the_image_reaches_the_core_and_the_prompt_is_the_templates(running: Running) -> None:
    asked = request(prefix="  It is\n\na ")
    (reply,) = running.ask(asked)
    assert reply.error is None
    (sent,) = running.core.asked
    assert sent.multimodal is not None
    (image,) = sent.multimodal
    tokens, place = [image["image_token_id"]] * image["image_tokens"], image["offset"]
    assert sent.input_ids[place : place + len(tokens)] == tokens
    assert reply.prompt_tokens == len(sent.input_ids)
    text = running.engine.rendered(asked).replace("<IMG_CONTEXT>", "<img><IMG_CONTEXT></img>")
    before, after = text.split("<IMG_CONTEXT>")
    assert sent.input_ids[:place] == running.engine.encode(before)
    assert sent.input_ids[place + len(tokens) :] == running.engine.encode(after)


@pytest.mark.parametrize(
    "content", [(MediaRef(0), Text("Look.")), (Text("Look: "), MediaRef(0), Text(" So?"))]
)
@pytest.mark.parametrize("prefix", ["", " It  is\n"])
def test_newer_models_get_exactly_our_prompt(
    qwen: Running, content: tuple[MediaRef | Text, ...], prefix: str
) -> None:
    asked = request(*content, prefix=prefix)
    (reply,) = qwen.ask(asked)
    assert reply.error is None
    (sent,) = qwen.core.asked
    assert sent.multimodal is not None
    token = sent.multimodal[0]["image_token_id"]
    begin, end = sent.multimodal[0]["offset"]
    assert set(sent.input_ids[begin:end]) == {token}
    whole = [*sent.input_ids[:begin], token, *sent.input_ids[end:]]
    assert whole == qwen.engine.encode(qwen.engine.rendered(asked))


def test_an_image_is_prepared_once_for_all_samples(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    from lmdeploy.vl.model.internvl3_hf import InternVL3VisionModel

    prepared = []
    original = InternVL3VisionModel.preprocess

    def counted(self: Any, messages: list[dict[str, Any]]) -> Any:
        prepared.append(self)
        return original(self, messages)

    monkeypatch.setattr(InternVL3VisionModel, "preprocess", counted)
    (reply,) = running.ask(request(n=4, seed=3))
    assert len(prepared) == 1
    assert len({sample.text for sample in reply.samples}) == 4
    assert all(sent.multimodal for sent in running.core.asked)
    assert len({tuple(sent.input_ids) for sent in running.core.asked}) == 1


def test_images_and_texts_in_turn_keep_their_order(running: Running) -> None:
    turns = (Text("First "), MediaRef(0), Text(" then "), MediaRef(1), Text(" which?"))
    (reply,) = running.ask(request(*turns, images=2))
    assert reply.error is None
    assert len(running.core.asked[-1].multimodal or ()) == 2
    (unplaced,) = running.ask(request(images=2))
    assert unplaced.error == "2 images are given but 1 have a place in the prompt"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ((MediaRef(0), Text("\n"), Text("What?")), True),
        ((Text("Look: "), MediaRef(0), Text(" What?")), False),
        ((Text("What? "), MediaRef(0)), False),
    ],
)
def test_a_model_that_moves_images_is_noticed(
    tmp_path: Path, content: tuple[MediaRef | Text, ...], expected: bool
) -> None:
    # LMDeploy's LLaVA sets images in front of the turn and reads its first text alone.
    from lmdeploy.vl.model.llava_hf import LlavaHfVisionModel

    renderer = load_renderer(str(save_llava(tmp_path)))
    asked = request(*content, prefix="It is ")
    messages = image_messages(asked, [None], {})
    for part in messages[0]["content"]:
        part["type"] = part["type"].removesuffix("_data")  # as LMDeploy has them after loading
    template = chat_template(renderer).chat_template()
    written, _ = LlavaHfVisionModel.proc_messages(messages, template)
    assert kept(written, pieces(asked, renderer)) is expected


def test_lmdeploys_own_template_would_lose_what_ours_keeps(tmp_path: Path) -> None:
    # A template that takes parts, as most of vision-language models do, and trims, as many do.
    from lmdeploy.model import HFChatTemplate, get_chat_template

    template = (
        "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for p in m['content'] %}"
        "{{ '<image>' if p['type'] == 'image' else (p['text'] | trim) }}{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    (save_llava(tmp_path) / "chat_template.jinja").write_text(template)
    turns = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "It is "}]
    theirs = get_chat_template(str(tmp_path))
    assert isinstance(theirs, HFChatTemplate)
    assert "What?" not in theirs.messages2prompt(turns)
    ours = chat_template(load_renderer(str(tmp_path))).chat_template()
    assert ours.messages2prompt(turns) == "<|im_start|>user\nWhat?<|im_end|>\n<|im_start|>assistant\nIt is "


def test_a_row_that_is_not_written_as_asked_fails_alone(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmdeploy.vl.model.internvl3_hf import InternVL3VisionModel

    original = InternVL3VisionModel.proc_messages

    def trimmed(*arguments: Any, **named: Any) -> Any:
        prompt, token = original(*arguments, **named)
        return prompt.rstrip(), token

    monkeypatch.setattr(InternVL3VisionModel, "proc_messages", trimmed)
    bad, good = running.ask(request(prefix="It is "), request(prefix="It is"))
    assert "does not keep the order of text and images, or the begun answer" in (bad.error or "")
    assert good.error is None


@pytest.mark.parametrize(
    ("options", "tiles"), [({}, 1), ({"dynamic": True}, 7), ({"dynamic": True, "max_num": 12}, 13)]
)
def test_internvls_own_checkpoints(
    start: Callable[..., Running], tmp_path: Path, options: dict[str, Any], tiles: int
) -> None:
    running = answering(start(save_internvl_chat(tmp_path), trust_remote_code=True, **options))
    asked = request(prefix="It is ")
    (reply,) = running.ask(asked)
    assert reply.error is None
    (sent,) = running.core.asked
    assert sent.multimodal is not None
    # A tile of 16 x 16 pixels is 4 x 4 patches, a quarter of which are tokens.
    assert sent.multimodal[0]["image_tokens"] == tiles * 4
    assert sent.multimodal[0]["pixel_values"].shape[0] == tiles
    assert running.engine.rendered(asked).endswith(
        "user\n<image>\nWhat is this?<|im_end|>\n<|im_start|>assistant\nIt is "
    )


def test_a_broken_image_fails_alone(running: Running) -> None:
    good = request()
    broken = Request(id="broken", messages=good.messages, images=(b"no image",))
    replies = running.ask(broken, good)
    assert replies[0].error is not None
    assert replies[1].error is None


def test_the_vision_batch_size_reaches_its_place(
    start: Callable[..., Running], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lmdeploy.vl.engine import ImageEncoder

    made: list[Any] = []
    original = ImageEncoder.__init__

    def noted(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        made.append(self)

    monkeypatch.setattr(ImageEncoder, "__init__", noted)
    start(save_internvl(tmp_path), vit_batch_size=5)
    assert [encoder.max_batch_size for encoder in made] == [5]


@pytest.mark.parametrize(
    ("written", "wanted", "expected"),
    [
        ("a<i>b", ["a", "b"], True),
        ("a<i>b<i>c", ["a", "b", "c"], True),
        ("a<i><i>c", ["a", "", "c"], True),
        ("ab", ["a", "b"], False),
        ("<i>ab", ["a", "b"], False),
        ("a<i>c", ["a", "b", "c"], False),
        ("a<i>b ", ["a", "b"], False),
        ("a<i>b<i>", ["a", "b", ""], True),
    ],
)
def test_what_counts_as_kept(written: str, wanted: list[str], expected: bool) -> None:
    assert kept(written, wanted) is expected
