"""The embedded engine on a tiny model of random weights, and on the bundled demo model."""

import asyncio
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from pipelines.cli.options import SamplingOptions
from pipelines.engines import make_engine
from pipelines.engines.base import Reply, Request, Sampling
from pipelines.engines.transformers import TransformersEngine
from pipelines.probe import probe
from prefdata import demo
from prefdata.errors import PrefdataError
from prefdata.records import MediaRef, Message, Part, Text
from tests.support.program import prefdata, write_lines

CORPUS = [
    "The cat sat on the mat and the dog sat on the log.",
    "It counts one two three, then 42 and 1,000 more; naïve café déjà vu.",
    "红色的公共汽车停在街角。 A red bus stops at the corner.",
]
TEMPLATE = (
    "{% for message in messages %}<s>{{ message['role'] }}\n{{ message['content'] | trim }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)


def build(folder: Path, kind: str) -> Path:
    """A Llama of 2 layers; its tokenizer is byte-level BPE (`bpe`) or marks blanks as SentencePiece does (`sp`)."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    if kind == "bpe":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
        alphabet = []
    tokenizer.train_from_iterator(
        CORPUS * 4,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=["<pad>", "<s>", "</s>"],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        chat_template=TEMPLATE,
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module", params=["bpe", "sp"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("models") / request.param, request.param)


def engine_of(model: Path | str, **more: Any) -> Any:
    engine = make_engine(SamplingOptions(checkpoint=str(model), num_workers=1, **more))
    asyncio.run(engine.start())
    return engine


def ask(text: str, name: str = "a", **more: Any) -> Request:
    sampling = more.pop("sampling", Sampling(max_new_tokens=24))
    return Request(id=name, messages=(Message("user", (Text(text),)),), sampling=sampling, seed=3, **more)


def answers(engine: Any, batch: Sequence[Request]) -> list[Reply]:
    replies: list[Reply] = asyncio.run(engine.generate(batch))
    return replies


def greedy_reference(model: Path, prompt: str, tokens: int) -> list[int]:
    """transformers' own greedy continuation of one prompt."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(model)
    network: Any = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    inputs = tokenizer(prompt, return_tensors="pt", add_special_tokens=False)
    out = network.generate(**inputs, max_new_tokens=tokens, do_sample=False)
    ids: list[int] = out[0, inputs["input_ids"].shape[1] :].tolist()
    return ids[: ids.index(2)] if 2 in ids else ids


def test_greedy_in_a_padded_batch_is_what_transformers_says_alone(model: Path) -> None:
    engine = engine_of(model)
    greedy = Sampling(temperature=0, max_new_tokens=12)
    batch = [
        ask("The cat", "a", sampling=greedy),
        ask("A red bus stops at the corner and the dog sat on the log. " * 3, "b", sampling=greedy, n=2),
        ask("one", "c", sampling=greedy, prefix="It counts"),
    ]
    for request, reply in zip(batch, answers(engine, batch), strict=True):
        expected = greedy_reference(model, engine.rendered(request), 12)
        assert [list(sample.token_ids) for sample in reply.samples] == [expected] * request.n


@pytest.mark.parametrize(
    "prefix", ["The cat sat", "  It counts one\n\ntwo", "The cat sat on ", "It counts 1,0"]
)
def test_the_junction_keeps_every_byte(model: Path, prefix: str) -> None:
    engine = engine_of(model)
    request = ask("What?", prefix=prefix, n=8)
    assert engine.rendered(request).endswith(prefix)
    prompt = engine.encode(engine.rendered(request))
    for sample in answers(engine, [request])[0].samples:
        whole = engine.decode([*prompt, *sample.token_ids])
        assert whole.endswith(sample.text)
        assert whole == engine.decode(prompt) + sample.text


def test_a_blank_at_the_junction_is_not_lost(tmp_path: Path) -> None:
    engine = engine_of(build(tmp_path, "sp"))
    ids = engine.encode("The cat sat")
    end, rest = ids[:-1], ids[-1:]
    assert engine.decode(rest) == "sat", "alone, the decoder drops the blank"
    assert engine._ready.text_after(end, rest) == " sat"


def test_a_sample_hangs_on_its_seed_alone(model: Path) -> None:
    one = engine_of(model)
    a, b = ask("The cat", "a", n=4), ask("one two three, then a longer question about the dog", "b", n=2)
    first = {reply.id: reply.samples for reply in answers(one, [a, b])}
    again = {reply.id: reply.samples for reply in answers(one, [b, a])}
    alone = answers(one, [a])[0].samples
    assert first == again
    assert [sample.text for sample in alone] == [sample.text for sample in first["a"]]
    assert len({sample.text for sample in first["a"]}) == 4
    other = answers(one, [msgspec.structs.replace(a, seed=4)])[0].samples
    assert [sample.text for sample in other] != [sample.text for sample in alone]


def test_draws_follow_the_distribution() -> None:
    import torch

    from pipelines.engines.decoding import Uniforms, pick

    torch.manual_seed(0)
    logits = torch.randn(1, 12).repeat(4000, 1)
    uniform = Uniforms(range(4000)).at(0, torch.arange(4000))
    for sampling in (Sampling(), Sampling(top_k=4), Sampling(top_p=0.7, temperature=0.8)):
        from transformers.generation.logits_process import (
            LogitsProcessorList,
            TemperatureLogitsWarper,
            TopKLogitsWarper,
            TopPLogitsWarper,
        )

        warpers: Any = LogitsProcessorList([TemperatureLogitsWarper(sampling.temperature)])
        if sampling.top_k:
            warpers.append(TopKLogitsWarper(sampling.top_k))
        warpers.append(TopPLogitsWarper(sampling.top_p))
        expected = warpers(torch.zeros(1, 1, dtype=torch.long), logits[:1]).softmax(-1)[0]
        drawn = pick(logits, sampling, uniform)
        seen = torch.bincount(drawn, minlength=12) / 4000
        assert (seen[expected == 0] == 0).all()
        assert (seen - expected).abs().max() < 0.03


def test_finish_reasons_and_the_context_limit(model: Path) -> None:
    engine = engine_of(model, session_len=40)
    short = ask("one", sampling=Sampling(max_new_tokens=3))
    assert {sample.finish_reason for sample in answers(engine, [short])[0].samples} <= {"length", "stop"}
    long, fits = (
        ask("The cat sat on the mat. " * 60, "long"),
        ask("one", "fits", sampling=Sampling(max_new_tokens=900)),
    )
    refused, kept = answers(engine, [long, fits])
    assert refused.error is not None
    assert refused.error.startswith("too long: the prompt has")
    assert len(kept.samples[0].token_ids) < 40


def test_stop_tokens_end_an_answer_and_are_not_in_it(model: Path) -> None:
    engine = engine_of(model)
    engine._stop_ids = frozenset(range(100))
    samples = answers(engine, [ask("The cat", n=6, sampling=Sampling(max_new_tokens=200))])[0].samples
    assert {sample.finish_reason for sample in samples} == {"stop"}
    assert all(token >= 100 for sample in samples for token in sample.token_ids)


def test_settings_without_meaning_are_refused(model: Path) -> None:
    for more, flag in (
        ({"tp": 2}, "--tp 2"),
        ({"cache_max_entry_count": 0.5}, "--cache-max-entry-count"),
        ({"vit_batch_size": 8}, "--vit-batch-size"),
        ({"engine_arg": ("nonsense=1",)}, "nonsense"),
        ({"dynamic": True}, "--dynamic"),
    ):
        with pytest.raises(PrefdataError, match=flag):
            engine_of(model, **more)


def test_a_text_model_refuses_images(model: Path) -> None:
    engine = engine_of(model)
    abilities = asyncio.run(engine.start())
    with pytest.raises(PrefdataError, match="takes no images"):
        asyncio.run(probe(engine, abilities, images=True, prefix=False, n=1))


def test_interrupted_between_groups_the_pairs_are_the_same(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": CORPUS[n % 3][: 5 + n], "chosen": CORPUS[(n + 1) % 3]} for n in range(24)]
    write_lines(tmp_path / "rows.jsonl", rows)

    def make(out: str) -> bytes:
        done = prefdata(
            *("dropout-ntp", "--checkpoint", model, "--batch-size", "4", "--prompt-path", "rows.jsonl"),
            *("--out-dir", out, "--max-new-tokens", "30", "--temperature", "1", "--top-k", "0"),
            *("--num-return-sequences", "2", "--keep-truncated"),
            cwd=tmp_path,
        )
        assert done.returncode in (0, 1), done.stderr
        run = tmp_path / str(json.loads(done.stdout)["run"])
        return (run / "pairs.jsonl").read_bytes() + (run / "dropped.jsonl").read_bytes()

    whole = make("whole")
    generate, calls = TransformersEngine.generate, 0

    async def breaks_off(engine: TransformersEngine, batch: Sequence[Request]) -> list[Reply]:
        nonlocal calls
        calls += 1
        if calls == 5:  # the probe's question and two groups have been answered, one is on its way
            raise PrefdataError("cut off")
        return await generate(engine, batch)

    with monkeypatch.context() as patched:
        patched.setattr(TransformersEngine, "generate", breaks_off)
        cut = prefdata(
            *("dropout-ntp", "--checkpoint", model, "--batch-size", "4", "--prompt-path", "rows.jsonl"),
            *("--out-dir", "cut", "--max-new-tokens", "30", "--temperature", "1", "--top-k", "0"),
            *("--num-return-sequences", "2", "--keep-truncated"),
            cwd=tmp_path,
        )
    assert "cut off" in cut.stderr
    (part,) = tmp_path.glob("cut/*/*/parts/0.jsonl")
    lines = part.read_bytes().splitlines(keepends=True)
    assert len(lines) == 8
    part.write_bytes(b"".join(lines[:5]) + lines[5][:30])  # and killed in the middle of a group
    assert make("cut") == whole
    assert whole.count(b"\n") == 48


@pytest.mark.skipif(not (demo.MODEL_DIR / "config.json").exists(), reason="the demo model is not built yet")
def test_rows_with_and_without_images_share_a_batch() -> None:
    from prefdata.demo.scenes import render, sample_scene

    engine = engine_of("demo")
    abilities = asyncio.run(engine.start())
    asyncio.run(probe(engine, abilities, images=True, prefix=True, n=2))
    pictures = []
    for seed in range(3):
        stream = io.BytesIO()
        render(sample_scene(1_000_000_000 + seed)).save(stream, "PNG")
        pictures.append(stream.getvalue())
    greedy = Sampling(temperature=0, max_new_tokens=48)

    def question(name: str, images: tuple[bytes, ...], prefix: str = "") -> Request:
        parts: tuple[Part, ...] = (
            *(MediaRef(index) for index in range(len(images))),
            Text("How many red shapes are there?"),
        )
        return Request(
            id=name, messages=(Message("user", parts),), images=images, prefix=prefix, n=2, sampling=greedy
        )

    batch = [
        question("image", (pictures[0],)),
        question("text", (), "Seen: a3"),
        question("two", (pictures[1], pictures[2])),
        question("other", (pictures[1],)),
        question("broken", (b"no picture",)),
    ]
    together = answers(engine, batch)
    assert together[4].error is not None
    assert "image" in together[4].error
    for request, reply in zip(batch[:4], together[:4], strict=True):
        alone = answers(engine, [request])[0]
        assert reply.error is None
        assert [sample.token_ids for sample in reply.samples] == [
            sample.token_ids for sample in alone.samples
        ]
        assert reply.prompt_tokens == alone.prompt_tokens
    assert together[0].prompt_tokens == together[3].prompt_tokens > together[1].prompt_tokens


@pytest.mark.parametrize("value", ["abc", "0", "-1"])
def test_a_setting_that_is_no_number_is_named(value: str) -> None:
    with pytest.raises(PrefdataError, match=f"--engine-arg max_sequences={value}: a whole number"):
        make_engine(SamplingOptions(checkpoint="demo", engine_arg=(f"max_sequences={value}",)))
