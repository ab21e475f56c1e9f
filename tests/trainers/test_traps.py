"""Each silent fault of a packed pass is far above tolerance, and is seen or cannot happen here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support import tiny_models
from tests.support.forests import Grove, grow, ordinary_logps
from trainers import attention, check, families
from trainers.logprobs import token_logps
from trainers.rows import RowMaker

TOLERANCE = 1e-5
Planter = Callable[[str], Grove]
Change = Callable[[dict[str, Any]], None]


def off_by(grove: Grove, row: Any) -> float:
    """How far a row's log-probabilities are from plain forwards."""
    with torch.no_grad():
        found = token_logps(grove.model, grove.head, row)
        return float((found - ordinary_logps(grove, row["trees"])).abs().max())


def break_rows(monkeypatch: pytest.MonkeyPatch, change: Change, *, shared: bool = True) -> None:
    """Let row makers build faulty rows of one form."""
    original = RowMaker.host

    def broken(self: RowMaker, trees: Any) -> Any:
        row = original(self, trees)
        if self.share is shared:
            change(row["forward"])
        return row

    monkeypatch.setattr(RowMaker, "host", broken)


def assert_seen(grove: Grove, *, least: float) -> None:
    """The fault is above tolerance and the self-check takes the padded path, or stops when told so."""
    assert off_by(grove, grove.maker.make(grove.trees)) > least > TOLERANCE
    assert not check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=False)
    with pytest.raises(PrefdataError, match=r"the shared path|position ids"):
        check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=True)


def running_positions(forward: dict[str, Any]) -> None:
    forward["position_ids"] = torch.arange(forward["input_ids"].shape[1])[None]


def one_segment(forward: dict[str, Any]) -> None:
    length = forward["input_ids"].shape[1]
    forward["attention_mask"] = torch.tensor([[[[0, 0, length, 1]]]], dtype=torch.int32)


def no_mask(forward: dict[str, Any]) -> None:
    forward["attention_mask"] = None


@pytest.mark.parametrize("kind", ["llama", "llava", "idefics3", "qwen3_vl"])
@pytest.mark.parametrize("change", [running_positions, one_segment, no_mask])
def test_wrong_rows_are_seen(
    kind: str, change: Change, grove_of: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions that do not restart, a branch that sees its neighbour, no mask and trust in the positions."""
    grove = grove_of(kind)
    break_rows(monkeypatch, change)
    assert_seen(grove, least=1e-3)


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_flat_positions_on_qwen_vl_are_seen(
    kind: str, grove_of: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """[1, tokens] positions run without complaint: image tokens lose their height and width."""
    grove = grove_of(kind)
    flat = families.Family(grove.opened.family.pixels)
    broken = families.Opened(**(vars(grove.opened) | {"family": flat}))
    monkeypatch.setattr(grove.maker.pixels, "opened", broken)
    grove.maker.__dict__.pop("feed", None)
    assert grove.maker.make(grove.trees)["forward"]["position_ids"].dim() == 2
    assert off_by(grove, grove.maker.make(grove.trees)) > TOLERANCE
    with pytest.raises(PrefdataError, match="positions of several axes"):
        check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=True)


@pytest.mark.parametrize("kind", ["qwen2_5_vl", "qwen3_vl"])
def test_positions_a_little_off_are_seen(
    kind: str, grove_of: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A branch that goes on one too far: compared as whole numbers, so no tolerance can hide it."""
    grove = grove_of(kind)

    def shifted(forward: dict[str, Any]) -> None:
        forward["position_ids"][:, :, -1] += 1

    break_rows(monkeypatch, shifted)
    with pytest.raises(PrefdataError, match="position ids differ from those that the model counts"):
        check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=True)


def test_token_types_without_positions_fail_on_qwen_vl(grove_of: Planter) -> None:
    """Qwen2.5-VL with a 4-D mask and `mm_token_type_ids` but no positions stops; rows carry positions instead."""
    grove = grove_of("qwen2_5_vl")
    forward = grove.maker.make(grove.trees)["forward"]
    assert "mm_token_type_ids" not in forward
    types = (forward["input_ids"] == grove.opened.image_token_id).int()
    del forward["position_ids"]
    with pytest.raises(IndexError):
        grove.model(**forward, mm_token_type_ids=types)


def dense(layout: torch.Tensor, window: int | None = None) -> torch.Tensor:
    """The forest as an ordinary mask, bool [1, 1, tokens, tokens]."""
    segments = layout[0, 0].tolist()
    trunks = {tree: (start, length) for tree, start, length, is_trunk in segments if is_trunk}
    tokens = sum(length for _, _, length, _ in segments)
    mask = torch.zeros(tokens, tokens, dtype=torch.bool)
    at = torch.zeros(tokens)
    for tree, start, length, is_trunk in segments:
        first, before = trunks[tree]
        mask[start : start + length, start : start + length] = torch.ones(length, length).tril().bool()
        at[start : start + length] = torch.arange(length) + (0 if is_trunk else before)
        if not is_trunk:
            mask[start : start + length, first : first + before] = True
    if window is not None:
        mask &= at[:, None] - at[None, :] < window
    return mask[None, None]


def test_eager_attention_with_a_bool_mask_is_wrong_and_never_used(grove_of: Planter) -> None:
    """Eager adds the mask to the scores: 0 and 1 instead of -inf and 0. As a float mask the same is right."""
    grove = grove_of("llama")
    row = grove.maker.make(grove.trees[:4])
    mask = dense(row["forward"]["attention_mask"])
    grove.model.set_attn_implementation("eager")
    row["forward"]["attention_mask"] = mask
    assert off_by(grove, row) > 1e-2
    row["forward"]["attention_mask"] = torch.zeros(mask.shape).masked_fill(
        ~mask, torch.finfo(torch.float32).min
    )
    assert off_by(grove, row) < TOLERANCE


def test_a_model_saved_as_eager_is_not_run_eagerly(family: Callable[[str], Path]) -> None:
    model = families.load_weights(families.open_model(str(family("llama"))), torch.float32)
    assert model.config._attn_implementation == "sdpa"
    attention.install(model)
    assert model.config._attn_implementation == attention.NAME


def test_a_model_whose_attention_cannot_be_replaced_is_refused(
    grove_of: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    grove = grove_of("llama")
    grove.model.set_attn_implementation("eager")
    monkeypatch.setattr(type(grove.model), "set_attn_implementation", lambda self, name: None)
    with pytest.raises(PrefdataError, match="its attention cannot be replaced"):
        attention.install(grove.model)


@pytest.mark.parametrize(("kind", "least"), [("qwen2-window", 1e-2), ("gemma3_text", 1e-2)])
def test_an_ignored_window_is_seen(
    kind: str, least: float, grove_of: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both ways to lose it: a dense mask given from outside, and a forest that is not told of it."""
    grove = grove_of(kind)
    assert grove.opened.window == 16
    assert max(tree.longest for tree in grove.trees) > 32
    row = grove.maker.make(grove.trees[:4])
    row["forward"]["attention_mask"] = dense(row["forward"]["attention_mask"])
    assert off_by(grove, row) > least
    original = attention.schedule_of
    monkeypatch.setattr(
        attention, "schedule_of", lambda layout, device, dtype, window=None: original(layout, device, dtype)
    )
    assert_seen(grove, least=least)


def test_padding_by_token_id_would_be_wrong(grove_of: Planter) -> None:
    """Answers hold `!`, whose id is 0: padding found by id hides real tokens."""
    grove = grove_of("llama")
    assert all(branch.ids.count(0) for tree in grove.trees for branch in tree.branches)
    row = grove.maker.plain().make(grove.trees[:3])
    assert off_by(grove, row) < TOLERANCE
    row["forward"]["attention_mask"] = (row["forward"]["input_ids"] != 0).long()
    assert off_by(grove, row) > 1e-2


def test_padding_by_token_id_is_seen(grove_of: Planter, monkeypatch: pytest.MonkeyPatch) -> None:
    grove = grove_of("llama")

    def by_id(forward: dict[str, Any]) -> None:
        if len(forward["input_ids"]) > 1:  # where there is padding
            forward["attention_mask"] = (forward["input_ids"] != 0).long()

    break_rows(monkeypatch, by_id, shared=False)
    with pytest.raises(PrefdataError, match="other log-probabilities than the model's own"):
        check.padded_holds(grove.model, grove.head, grove.trees[:3], grove.maker.plain())


@pytest.mark.parametrize(
    ("given", "named"),
    [({"dropout": 0.1}, "dropout"), ({"softcap": 30.0}, "softcap"), ({"s_aux": torch.ones(2)}, "s_aux")],
)
def test_what_the_forest_cannot_do_is_refused(given: dict[str, Any], named: str) -> None:
    layout = torch.tensor([[[[0, 0, 3, 1]]]], dtype=torch.int32)
    heads = torch.zeros(1, 2, 3, 4)
    with pytest.raises(PrefdataError, match=named):
        attention.forest_attention(torch.nn.Module(), heads, heads, heads, layout, **given)


def test_logits_changed_behind_the_head_are_refused(
    family: Callable[[str], Path], text_pairs: Path, tmp_path: Path
) -> None:
    """Gemma's soft cap is put on logits that this trainer never lets the model see."""
    import transformers as hf

    config = hf.AutoConfig.from_pretrained(family("gemma3_text"), final_logit_softcapping=2.0)
    tiny_models.save(tmp_path / "capped", hf.Gemma3ForCausalLM(config), tiny_models.tokenizer())
    grove = grow(tmp_path / "capped", text_pairs)
    with pytest.raises(PrefdataError, match="may change its logits behind the head"):
        check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=False)


def test_images_that_do_not_fit_their_tokens_are_refused_by_row(
    grove_of: Planter, monkeypatch: pytest.MonkeyPatch
) -> None:
    grove = grove_of("internvl")
    monkeypatch.setattr(grove.maker.pixels, "_kept", {})
    original = type(grove.maker.pixels).load

    def halved(self: Any, tree: Any) -> Any:
        return {key: value[:1].repeat(7, 1, 1, 1) for key, value in original(self, tree).items()}

    monkeypatch.setattr(type(grove.maker.pixels), "load", halved)
    with pytest.raises(PrefdataError, match=r"pictured.jsonl:1: the model refuses this row \(Image features"):
        check.sharing_holds(grove.model, grove.head, grove.trees, grove.maker, required=False)
