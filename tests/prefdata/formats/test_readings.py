"""What each dialect means, one habit at a time: the record that a row becomes, or the reason why it is none."""

from typing import Any

import pytest

from prefdata.formats import BadRow, CannotHold, get
from prefdata.formats.pairing import pairs_of
from prefdata.records import (
    Candidate,
    Conversation,
    LabelledAnswer,
    Media,
    MediaRef,
    PreferencePair,
    Question,
    RankedCandidates,
    Text,
    ToolCall,
    message,
)


def record(format_id: str, row: dict[str, Any]) -> Any:
    return get(format_id).to_record(row)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def bot(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def test_swift_tags_that_are_missing_stand_in_front() -> None:
    row = {"messages": [user("Compare with <image>"), bot("A")], "images": ["a", "b"]}
    found = record("swift", row)
    assert found.messages[0].content == (Text("Compare with "), MediaRef(1))
    written = get("swift").from_record(found).row
    assert written["messages"][0]["content"] == "<image>\nCompare with <image>"
    assert written["images"] == ["a", "b"]


def test_swift_inline_images_and_history() -> None:
    row = {"query": "<img>u1</img>x<img>u2</img>", "response": "A", "history": [["q", "a"]], "system": "S"}
    found = record("swift", row)
    assert [turn.role for turn in found.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert found.messages[3].content == (MediaRef(0), Text("x"), MediaRef(1))
    assert [item.uri for item in found.media] == ["u1", "u2"]


@pytest.mark.parametrize("key", ["system", "system_prompt"])
def test_swift_system_text_beside_the_messages(key: str) -> None:
    row = {
        key: "Be kind.",
        "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}],
    }
    (system, _, _) = record("swift", row).messages
    assert (system.role, system.text) == ("system", "Be kind.")
    own = {"role": "system", "content": "Be short."}
    both = record("swift", row | {"messages": [own, *row["messages"]]})
    assert [turn.text for turn in both.messages] == ["Be short.", "Hi", "Hello"]
    assert both.unread == ("`system` beside a system turn, which is used instead",)


def test_swift_rejected_sides() -> None:
    messages = [user("<image>Where?"), bot("Rome")]
    images = {"images": ["r.jpg"]}
    short = record("swift", {"messages": messages, "rejected_response": "Oslo", **images})
    whole = record(
        "swift",
        {
            "messages": messages,
            "rejected_messages": [messages[0], bot("Oslo")],
            **images,
            "rejected_images": ["r.jpg"],
        },
    )
    assert short == whole
    assert [turn.text for turn in short.rejected] == ["Oslo"]
    other = record("swift", {"messages": messages, **images, "rejected_images": ["o.jpg"]})
    assert (other.rejected, other.rejected_media) == (other.chosen, (Media(uri="o.jpg"),))
    with pytest.raises(CannotHold, match="other media for the rejected side"):
        get("mmpr").from_record(other)
    with pytest.raises(BadRow, match="1 for the chosen side and 0 for the rejected"):
        record("swift", {"messages": messages, "rejected_messages": messages, **images})


def test_tool_calls_in_four_dialects() -> None:
    call = ToolCall("find", '{"q":"x"}')
    openai = {
        "role": "assistant",
        "tool_calls": [{"function": {"name": "find", "arguments": '{"q": "x"}'}}],
        "content": None,
    }
    text = '{"name": "find", "arguments": {"q": "x"}}'
    rows: dict[str, Any] = {
        "openai": {"messages": [user("Q"), openai]},
        "swift": {"messages": [user("Q"), {"role": "tool_call", "content": text}]},
        "lf-sharegpt": {
            "conversations": [{"from": "human", "value": "Q"}, {"from": "function_call", "value": text}]
        },
        "lf-v1": {
            "messages": [
                {"role": "user", "content": [{"type": "text", "value": "Q"}]},
                {"role": "assistant", "content": [{"type": "tool_call", "value": text}]},
            ]
        },
    }
    found = {name: record(name, row) for name, row in rows.items()}
    assert all(each.messages[1].calls == (call,) for each in found.values())
    assert len({each.messages for each in found.values()}) == 1
    with pytest.raises(CannotHold, match="a tool call"):
        get("llava").from_record(found["openai"])
    with pytest.raises(BadRow, match="a call is JSON text"):
        record("sharegpt", {"conversations": [{"from": "function_call", "value": "find x"}]})


def test_xtuner_marks_places_in_the_text() -> None:
    parts: list[dict[str, Any]] = [
        {"type": "image_url", "image_url": {"url": "a", "image_wh": [3, 4]}},
        {"type": "text", "text": "See <IMG_CONTEXT>!"},
    ]
    found = record("openai", {"messages": [{"role": "user", "content": parts}]})
    assert found.messages[0].content == (Text("See "), MediaRef(0), Text("!"))
    assert found.media == (Media(uri="a", extra={"image_wh": [3, 4]}),)
    assert get("lf-sharegpt").from_record(found).lost == ("keys beside a medium (sizes, frame rates)",)
    # Another number of marks than of images: the marks are text.
    parts[1]["text"] = "<IMG_CONTEXT><IMG_CONTEXT>"
    found = record("openai", {"messages": [{"role": "user", "content": parts}]})
    assert found.messages[0].content == (MediaRef(0), Text("<IMG_CONTEXT><IMG_CONTEXT>"))


def test_numbered_markers_name_their_image() -> None:
    found = record("qa", {"question": "<image2> or <image1>?", "image": ["a", "b"], "answer": "x"})
    assert found.prompt[0].content == (MediaRef(1), Text(" or "), MediaRef(0), Text("?"))
    assert get("qa").from_record(found).row["image"] == ["b", "a"]
    found = record("qa", {"question": "<image2>?", "image": ["a"], "answer": "x"})
    assert found.prompt[0].text == "<image2>?"


def test_transcripts() -> None:
    start = "\n\nHuman: Hi\n\nAssistant: Yes?\n\nHuman: Tell me\n\nAssistant:"
    found = record("hh", {"chosen": start + " A", "rejected": start + " B"})
    assert [(turn.role, turn.text) for turn in found.prompt] == [
        ("user", "Hi"),
        ("assistant", "Yes?"),
        ("user", "Tell me"),
    ]
    assert (found.chosen[0].text, found.rejected[0].text) == ("A", "B")
    earlier = record(
        "hh", {"chosen": "\n\nHuman: A\n\nAssistant: b", "rejected": "\n\nHuman: B\n\nAssistant: c"}
    )
    assert earlier.prompt == ()


def test_the_better_of_two() -> None:
    row = {"prompt": "Q", "response_0": "x", "response_1": "y", "better_response_id": 1}
    found = record("pku", {**row, "safer_response_id": 0})
    assert (found.chosen[0].text, found.meta) == ("y", {"better_response_id": 1, "safer_response_id": 0})
    found = record("llmbar", {"input": "Q", "output_1": "x", "output_2": "y", "label": 1})
    assert found.chosen[0].text == "x"
    # `label` says something else in a row of trl, so it does not get there.
    assert get("trl").from_record(found).lost == ("label",)
    with pytest.raises(BadRow, match="1 or 2, not 0"):
        record("llmbar", {"input": "Q", "output_1": "x", "output_2": "y", "label": 0})
    found = record("vlrb", {"query": "Q", "response": ["x", "y"], "human_ranking": [1, 0], "image": "a"})
    assert found.chosen[0].text == "y"


def test_labelled_answers() -> None:
    for format_id, row in (
        ("trl", {"prompt": "Q", "completion": "A", "label": False}),
        ("lf-sharegpt", {"messages": [user("Q"), bot("A")], "label": False}),
        ("swift", {"messages": [user("Q"), bot("A")], "label": False}),
        ("lf-alpaca", {"instruction": "Q", "output": "A", "label": False}),
        (
            "turbo-alignment",
            {"context": [user("Q")], "answer": {"role": "bot", "content": "A"}, "is_desirable": False},
        ),
    ):
        assert record(format_id, row) == LabelledAnswer(
            prompt=(message("user", "Q"),), answer=(message("assistant", "A"),), label=False
        )


def test_ratings_of_both_shapes() -> None:
    rated = [
        {
            "model": m,
            "response": m * 2,
            "annotations": {"Helpfulness": {"Rating": r}, "Ethics": {"Rating": "5"}},
        }
        for m, r in (("a", "4"), ("b", "N/A"))
    ]
    columns = {key: [item[key] for item in rated] for key in rated[0]}
    rows = [{"prompt": "Q", "img_path": "p", "completions": each} for each in (rated, columns)]
    first, second = (record("vlfeedback", row) for row in rows)
    assert first == second
    assert [candidate.score for candidate in first.candidates] == [4.5, 5.0]


def test_binarized_scores_become_the_margin() -> None:
    row = {"prompt": "Q", "chosen": [user("Q"), bot("A")], "rejected": [user("Q"), bot("B")]}
    found = record("ultrafeedback", {**row, "score_chosen": 9.0, "score_rejected": 3.0})
    assert (found.margin, found.meta) == (6.0, {"score_chosen": 9.0, "score_rejected": 3.0})


def ranking(*scores: float | None, texts: str = "abcdef") -> RankedCandidates:
    candidates = tuple(
        Candidate(messages=(message("assistant", text),), score=score)
        for score, text in zip(scores, texts, strict=False)
    )
    return RankedCandidates(prompt=(message("user", "Q"),), candidates=candidates, id="r")


def taken(pairs: list[PreferencePair]) -> list[str]:
    return [pair.chosen[0].text + pair.rejected[0].text for pair in pairs]


def test_pairing_policies() -> None:
    four = ranking(3, 9, None, 8.5, 3)
    assert taken(pairs_of(four, "best-worst")) == ["be"]
    assert taken(pairs_of(four, "all")) == ["bd", "ba", "be", "da", "de"]
    assert taken(pairs_of(four, "adjacent")) == ["bd", "da"]
    assert taken(pairs_of(four, "adjacent", 1)) == ["da"]
    assert [pair.id for pair in pairs_of(four, "adjacent")] == ["r#1-3", "r#3-0"]
    assert [pair.margin for pair in pairs_of(four, "best-worst")] == [6.0]
    assert pairs_of(ranking(2, 2), "all") == []
    assert pairs_of(ranking(2, 1, texts="aa"), "all") == []
    bench = record("rmbench", {"prompt": "Q", "chosen": ["a", "b", "c"], "rejected": ["d", "e", "f"]})
    assert len(pairs_of(bench, "all")) == 9


def test_questions_of_other_shapes() -> None:
    found = record("rlvr", {"messages": [user("Q")], "ground_truth": "3"})
    assert isinstance(found, Question)
    assert found.answer == ("3",)
    found = record("llava-eval", {"question_id": 7, "image": "a", "text": "Q"})
    assert (found.media, found.meta) == ((Media(uri="a"),), {"question_id": 7})


def test_weights_are_carried_where_they_say_something() -> None:
    def turn(role: str, weight: float) -> dict[str, Any]:
        return {"role": role, "content": [{"type": "text", "value": "x"}], "loss_weight": weight}

    found = record("lf-v1", {"messages": [turn("user", 0), turn("assistant", 1)]})
    assert isinstance(found, Conversation)
    assert found.meta == {}
    found = record("lf-v1", {"messages": [turn("user", 0), turn("assistant", 0.5)]})
    assert found.meta == {"loss_weight": {"messages": [0, 0.5]}}


@pytest.mark.parametrize("format_id", ["trl", "lf-sharegpt", "lf-alpaca"])
def test_tools_are_one_record_as_a_list_and_as_text(format_id: str) -> None:
    tools = [{"type": "function", "function": {"name": "weather", "parameters": {}}}]
    text = '[{"type": "function", "function": {"name": "weather", "parameters": {}}}]'
    turns = [user("Rain?"), bot("No.")]
    as_list, as_text = (record("openai", {"messages": turns, "tools": one}) for one in (tools, text))
    assert as_list == as_text
    row = get(format_id).from_record(as_list).row
    # LLaMA-Factory decodes JSON text and stops at a list; Arrow would fill a list of unlike tools with nulls.
    assert row["tools"] == text.replace(": ", ":").replace(", ", ",")
    assert record(format_id, row).meta["tools"] == tools
    assert record("openai", {"messages": turns, "tools": "ask someone"}).meta["tools"] == "ask someone"


def test_lf_sharegpt_has_one_system_text() -> None:
    turns = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
    assert (
        record("lf-sharegpt", {"system": "Be kind.", "conversations": turns}).messages[0].text == "Be kind."
    )
    own = [{"from": "system", "value": "Be short."}, *turns]
    both = record("lf-sharegpt", {"system": "Be kind.", "conversations": own})
    assert [turn.role for turn in both.messages] == ["system", "user", "assistant"]
    assert both.messages[0].text == "Be short."
    assert both.unread == ("`system` beside a system turn, which is used instead",)
