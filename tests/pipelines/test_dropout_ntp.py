"""`dropout-ntp` as a user sees it, on answers from a file."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipelines.engines.base import Abilities, Reply, Request
from pipelines.engines.replay import ReplayEngine
from tests.support.program import prefdata, read_lines, replay, write_lines

CHOSEN = "A red bus stops at the corner near two people."


def run(
    folder: Path, rows: list[dict[str, Any]], texts: list[str], *more: str, **line: Any
) -> tuple[Path, Any]:
    write_lines(folder / "rows.jsonl", rows)
    write_lines(folder / "answers.jsonl", [{"texts": texts, **line}])
    done = replay("dropout-ntp", folder, "out", *more)
    assert done.stdout, done.stderr
    printed = json.loads(done.stdout)
    return folder / printed["run"], printed


def test_a_pair_is_the_input_row_with_rejected_and_meta(tmp_path: Path) -> None:
    row = {
        "image": "a.png",
        "question": "<image>\nDescribe.",
        "chosen": CHOSEN,
        "rejected": None,
        "extra": [1],
    }
    path, printed = run(tmp_path, [row], [" and drives away."], "--split-unit", "word")
    (pair,) = read_lines(path / "pairs.jsonl")
    meta = pair.pop("meta")
    assert pair == row | {"rejected": "A red bus stops at and drives away."}
    assert list(pair) == list(row)
    wanted = "id method engine model model_hash sampling seed template_hash finish_reason verdicts version"
    assert set(wanted.split()) <= set(meta)
    assert (meta["method"], meta["finish_reason"], meta["start_ratio"]) == ("dropout-ntp", "stop", 0.5)
    assert (printed["kept"], printed["dropped"]) == (1, {})
    assert "rows_prefix_pair_sr0.5_wo_image" in path.name


def test_the_mixture_entry_and_the_pairs_validate(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pics").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "pics/a.png")
    rows = [
        {"image": "a.png", "question": "<image>\nDescribe.", "chosen": CHOSEN},
        {"question": "x?", "chosen": CHOSEN},
    ]
    path, _ = run(tmp_path, rows, [" and drives away."], "--image-root", "pics")
    checked = prefdata("validate", path / "meta.json", "--output-format", "json", cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout
    assert json.loads(checked.stdout)["rows"] == 2


def test_every_reason_is_counted_and_kept_with_its_row(tmp_path: Path) -> None:
    rest = " at the corner near two people."
    texts = {
        "a?": ([rest], "identical continuation"),
        "b?": ([" at the corner, near two people!"], "near-identical continuation"),
        "c?": ([" I cannot see the image."], "self-commentary"),
        "d?": (["  "], "empty continuation"),
        "e?": ([" half a \ufffd"], "broken character"),
        "i?": ([" at the corner" * 40], "degenerate repetition"),
        "j?": ([" 在街角停下，旁边站着两个人。"], "wrong language"),
    }
    lines: list[dict[str, Any]] = [{"question": q, "texts": found} for q, (found, _) in texts.items()]
    lines += [
        {"question": "f?", "texts": [" and on and"], "finish_reason": "length"},
        {"question": "g?", "error": "oh"},
    ]
    write_lines(tmp_path / "answers.jsonl", lines)
    rows = [{"question": line["question"], "chosen": CHOSEN} for line in lines]
    rows += [{"question": "h?", "chosen": "yes"}, {"question": "<image>", "image": "a.png", "chosen": CHOSEN}]
    write_lines(tmp_path / "rows.jsonl", rows)
    split = ("--split-unit", "word", "--start-ratio", "0.4")
    done = replay("dropout-ntp", tmp_path, "out", *split)
    assert done.returncode == 1, "no pair was made"
    printed = json.loads(done.stdout)
    dropped = read_lines(tmp_path / printed["run"] / "dropped.jsonl")
    reasons = [reason for _, reason in texts.values()] + ["length limit hit", "engine: oh", "empty prefix"]
    assert [line["reason"] for line in dropped[:10]] == reasons
    assert dropped[10]["reason"].startswith("empty question")
    assert [line["row"]["question"] for line in dropped] == [row["question"] for row in rows]
    assert sum(printed["dropped"].values()) == len(rows)
    card = (tmp_path / printed["run"] / "README.md").read_text()
    manifest = json.loads((tmp_path / printed["run"] / "run.json").read_text())
    assert manifest["counts"]["dropped"] == printed["dropped"]
    for reason, number in printed["dropped"].items():
        assert f"| dropped: {reason} | {number} |" in card
    # Each switch keeps what its own filter drops, and nothing else.
    for switch, reason in (
        ("--keep-truncated", "length limit hit"),
        ("--keep-commentary", "self-commentary"),
        ("--keep-repetition", "degenerate repetition"),
        ("--keep-language", "wrong language"),
        ("--keep-empty-prefix", "empty prefix"),
    ):
        line = next(row for row in dropped if row["reason"] == reason)
        write_lines(tmp_path / "rows.jsonl", [{**line["row"], "rejected": None}])
        if reason == "empty prefix":
            write_lines(tmp_path / "answers.jsonl", [{"texts": ["no"]}])
        done = replay("dropout-ntp", tmp_path, f"kept{switch}", *split, switch)
        assert json.loads(done.stdout)["kept"] == 1, switch


def test_a_run_cut_at_the_limit_alone_says_what_to_raise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("pipelines.dropout_run.say", said.append)
    hint = "every answer was cut at --max-new-tokens 64: raise --max-new-tokens, or keep them with --keep-truncated"
    rows = [{"question": "x?", "chosen": CHOSEN}]
    run(tmp_path, rows, [" and drives"], "--max-new-tokens", "64", finish_reason="length")
    assert hint in said
    said.clear()
    run(
        tmp_path,
        rows,
        [" I cannot see the image."],
        "--max-new-tokens",
        "64",
        "--seed",
        "1",
        "--out-dir",
        "other",
    )
    assert said
    assert hint not in said


@pytest.mark.parametrize("text", [" at the corner near two people.", " at the corner, near two people!"])
def test_keep_same(tmp_path: Path, text: str) -> None:
    row = {"question": "x?", "chosen": CHOSEN}
    split = ("--split-unit", "word", "--start-ratio", "0.4")
    _, printed = run(tmp_path, [row], [text], *split, "--keep-same")
    assert printed["kept"] == 1


def test_an_answer_that_cannot_be_cut_may_be_answered_anew(tmp_path: Path) -> None:
    rows = [{"question": "a?", "chosen": "yes"}, {"question": "b?", "chosen": CHOSEN}]
    path, _ = run(tmp_path, rows, ["no"], "--keep-empty-prefix", "--split-unit", "word")
    first, second = read_lines(path / "pairs.jsonl")
    assert (first["rejected"], first["meta"]["prefix_characters"]) == ("no", 0)
    assert second["rejected"] == "A red bus stops atno"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda line: line | {"pairs": "none"}, "Expected `array`"),
        (lambda line: line | {"pairs": []}, "holds 1 samples instead of 2"),
        (lambda line: line | {"dropped": [{"row": {}}, *line["dropped"]]}, "missing required field `reason`"),
        (lambda line: line | {"pairs": [line["pairs"][0] | {"rejected": 7}]}, "Expected `str`"),
        (lambda line: line | {"pairs": [line["pairs"][0] | {"question": "?"}]}, "its row is not that of the"),
        (lambda line: line | {"pairs": [line["pairs"][0] | {"rejected": "No."}]}, "does not begin like"),
        (lambda line: line | {"id": "another"}, "no row of the input has this id"),
    ],
)
def test_a_line_that_no_run_wrote_stops_it(
    tmp_path: Path, change: Callable[[dict[str, Any]], dict[str, Any]], why: str
) -> None:
    rows = [{"question": f"{n}?", "chosen": CHOSEN} for n in range(2)]
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" and leaves.", " I cannot see the image."]}])
    write_lines(tmp_path / "rows.jsonl", rows)
    # A seed that gives the second row one pair and one drop.
    arguments = ("dropout-ntp", tmp_path, "out", "--num-return-sequences", "2", "--seed", "1")
    done = replay(*arguments)
    path = tmp_path / json.loads(done.stdout)["run"]
    lines = read_lines(path / "parts/0.jsonl")
    assert (len(lines[1]["pairs"]), len(lines[1]["dropped"])) == (1, 1)
    before = (path / "pairs.jsonl").read_bytes()
    changed = change(lines[1])
    write_lines(path / "parts/0.jsonl", [lines[0], changed])
    done = replay(*arguments)
    assert done.returncode == 2
    assert f"the line with the id {changed['id']!r} cannot be used" in done.stderr
    assert why in done.stderr
    assert (path / "pairs.jsonl").read_bytes() == before
    write_lines(path / "parts/0.jsonl", lines[:1])
    assert replay(*arguments).returncode == 0
    assert (path / "pairs.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("ratio", "prefix"), [("0", ""), ("0.25", "A red"), ("0.75", "A red bus stops at the corner")]
)
def test_start_ratio(tmp_path: Path, ratio: str, prefix: str) -> None:
    row = {"question": "x?", "chosen": CHOSEN}
    path, _ = run(tmp_path, [row], [" Something else 7."], "--start-ratio", ratio, "--split-unit", "word")
    (pair,) = read_lines(path / "pairs.jsonl")
    assert pair["rejected"] == f"{prefix} Something else 7."


@pytest.mark.parametrize("unit", ["token", "word", "sentence", "char"])
def test_prefixes_of_every_kind_stay_byte_for_byte(tmp_path: Path, unit: str) -> None:
    chosen = [
        "图中有一只红色的狗。它坐在窗边的沙发上，看起来很放松。",
        "写真には赤い車が写っています。その隣に二人の男性が立っています。",
        r"We get $x = \frac{1}{2}$. So \(y = 3\) holds, and **nothing else** does.",
        "Use this.\n\n```python\ndef f(x):\n    return x\n```\n\nIt gives back what it takes. Nothing more.",
        "  \n Two blanks,  a break\n\nand\ta tab. Before the end \u00a0 of it. \n ",
        "It costs 1,234.56 euros in all. That is 12.5% more.",
        "e\u0301te\u0301 👨‍👩‍👧 is a family. It stays one.",
    ]
    one_word = ["猫"] if unit == "char" else ["yes", "猫", "42", "$x$"]
    rows = [{"question": f"{n}?", "chosen": text} for n, text in enumerate([*chosen, *one_word])]
    texts = [" Something else 7.", "7というものです。"]
    path, _ = run(
        tmp_path, rows, texts, "--split-unit", unit, "--keep-language", "--num-return-sequences", "4"
    )
    pairs = read_lines(path / "pairs.jsonl")
    assert {int(pair["question"][:-1]) for pair in pairs} == set(range(len(chosen)))
    for pair in pairs:
        kept = pair["meta"]["prefix_characters"]
        assert 0 < kept < len(pair["chosen"])
        assert pair["rejected"] in [pair["chosen"][:kept] + text for text in texts]
    dropped = read_lines(path / "dropped.jsonl")
    assert [line["row"]["chosen"] for line in dropped if line["reason"] == "empty prefix"] == one_word


def test_a_question_with_several_labelled_images(tmp_path: Path) -> None:
    row = {
        "image": ["a.png", "b.png"],
        "question": "Image-1: <image>\nImage-2: <image>\nWhich one is larger, Image-1 or Image-2?",
        "chosen": CHOSEN,
    }
    asked = "Which one is larger, Image-1 or Image-2?"
    write_lines(tmp_path / "rows.jsonl", [row])
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" and leaves."], "question": asked}])
    done = replay("dropout-ntp", tmp_path, "out")
    (pair,) = read_lines(tmp_path / json.loads(done.stdout)["run"] / "pairs.jsonl")
    assert pair["question"] == row["question"], "the pair keeps the question with its images"
    assert pair["image"] == row["image"]


def test_rows_that_differ_only_in_their_image_are_two_rows(tmp_path: Path) -> None:
    rows = [{"image": f"{n}.png", "question": "<image>\nDescribe.", "chosen": CHOSEN} for n in range(3)]
    path, _ = run(tmp_path, [*rows, rows[0]], [" and drives away."])
    ids = [pair["meta"]["id"] for pair in read_lines(path / "pairs.jsonl")]
    assert len(set(ids)) == 4
    assert ids[3] == f"{ids[0]}-2"


def test_a_missing_image_costs_its_own_row(tmp_path: Path) -> None:
    rows = [
        {"image": "no.png", "question": "<image>\nDescribe.", "chosen": CHOSEN},
        {"question": "x?", "chosen": CHOSEN},
    ]
    path, printed = run(tmp_path, rows, [" and drives away."], "--keep-image")
    assert printed["kept"] == 1
    assert printed["dropped"] == {"image": 1}
    assert "no.png" in read_lines(path / "dropped.jsonl")[0]["reason"]


def test_a_corrected_image_root_is_enough(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "pics").mkdir()
    Image.new("RGB", (32, 32)).save(tmp_path / "pics/a.png")
    write_lines(tmp_path / "rows.jsonl", [{"image": "a.png", "question": "Describe.", "chosen": CHOSEN}])
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" and drives away."]}])
    for root, code, dropped in (("wrong", 1, {"image": 1}), ("pics", 0, {}), ("wrong", 0, {})):
        done = replay("dropout-ntp", tmp_path, "out", "--keep-image", "--image-root", root)
        assert done.returncode == code, done.stderr
        assert json.loads(done.stdout)["dropped"] == dropped


def test_filters_alone_are_no_failure_but_no_pair_is(tmp_path: Path) -> None:
    rows = [{"question": "a?", "chosen": CHOSEN}, {"question": "b?", "chosen": "yes"}]
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" and drives away."]}])
    for taken, code in ((rows, 0), (rows[1:], 1)):
        write_lines(tmp_path / "rows.jsonl", taken)
        assert replay("dropout-ntp", tmp_path, f"out{code}").returncode == code


def test_a_failed_request_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ReplayEngine._reply

    def failing(engine: ReplayEngine, request: Request) -> Reply:
        bad = request.messages[-1].text == "b?"
        return Reply(id=request.id, error="out of luck") if bad else answer(engine, request)

    write_lines(tmp_path / "rows.jsonl", [{"question": f"{name}?", "chosen": CHOSEN} for name in "abc"])
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" and drives away."]}])
    whole = replay("dropout-ntp", tmp_path, "whole")
    with monkeypatch.context() as patched:
        patched.setattr(ReplayEngine, "_reply", failing)
        first = replay("dropout-ntp", tmp_path, "out")
    printed = json.loads(first.stdout)
    assert (first.returncode, printed["kept"], printed["dropped"]) == (1, 2, {"engine": 1})
    assert "out of luck" in read_lines(tmp_path / printed["run"] / "dropped.jsonl")[0]["reason"]
    second = replay("dropout-ntp", tmp_path, "out")
    assert second.returncode == 0
    for name in ("pairs.jsonl", "dropped.jsonl", "README.md"):
        runs = (tmp_path / json.loads(done.stdout)["run"] / name for done in (whole, second))
        assert len({run.read_bytes() for run in runs}) == 1, name


def test_answers_are_cut_before_the_engine_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An engine holds its GPUs from its start on, and a million answers are cut in minutes.
    encode, start, seen = ReplayEngine.encode, ReplayEngine.start, []

    def recorded(engine: ReplayEngine, text: str) -> list[int]:
        seen.append(text)
        return encode(engine, text)

    async def started(engine: ReplayEngine) -> Abilities:
        seen.append("start")
        return await start(engine)

    monkeypatch.setattr(ReplayEngine, "encode", recorded)
    monkeypatch.setattr(ReplayEngine, "start", started)
    chosen = [f"{CHOSEN} {number}." for number in range(3)] + ["yes"]
    path, printed = run(
        tmp_path, [{"question": "a?", "chosen": text} for text in chosen], [" and drives away."]
    )
    assert seen[:5] == [*chosen, "start"]
    assert (printed["kept"], printed["dropped"]) == (3, {"empty prefix": 1})
    assert [row["row"]["chosen"] for row in read_lines(path / "dropped.jsonl")] == ["yes"]


def test_images_in_two_folders_get_no_common_root(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "data").mkdir()
    for name in ("data/near.png", "far.png"):
        (tmp_path / name).write_bytes(b"x")
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" and drives away."]}])
    for out, images, root in (
        ("one", ["no.png", "far.png"], tmp_path),
        ("two", ["near.png", "far.png"], None),
    ):
        rows = [{"image": name, "question": "Describe.", "chosen": CHOSEN} for name in images]
        write_lines(tmp_path / "data" / "rows.jsonl", rows)
        arguments = (
            "--engine",
            "replay",
            "--checkpoint",
            "answers.jsonl",
            "--prompt-path",
            "data/rows.jsonl",
        )
        done = prefdata("dropout-ntp", *arguments, "--out-dir", out, cwd=tmp_path)
        meta = tmp_path / json.loads(done.stdout)["run"] / "meta.json"
        assert done.returncode == 0
        assert meta.exists() == (root is not None)
        if root is not None:
            (entry,) = json.loads(meta.read_text()).values()
            assert entry["root"] == str(root)
    assert "start in two folders" in caplog.text


def test_thinning_is_a_seeded_draw_over_all_rows(tmp_path: Path) -> None:
    rows = [{"question": f"{n}?", "chosen": CHOSEN} for n in range(100)]
    path, printed = run(
        tmp_path, rows, [" and drives away."], "--sample-max-num", "20", "--sample-start-idx", "10"
    )
    taken = [int(pair["question"][:-1]) for pair in read_lines(path / "pairs.jsonl")]
    assert printed["kept"] == 20
    assert taken == sorted(taken)
    assert min(taken) >= 10
    assert max(taken) > 50


def test_rows_of_another_format_are_named_with_what_converts_them(tmp_path: Path) -> None:
    said = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": CHOSEN}]
    write_lines(tmp_path / "rows.jsonl", [{"prompt": said[:1], "chosen": said[1:], "rejected": said[1:]}])
    write_lines(tmp_path / "answers.jsonl", [{"texts": [" and leaves."]}])
    done = replay("dropout-ntp", tmp_path, "out")
    assert done.returncode == 2
    assert "rows.jsonl: rows of the format trl" in done.stderr
    assert prefdata("convert", "rows.jsonl", "more.jsonl", "--to", "mmpr", cwd=tmp_path).returncode == 0
    (tmp_path / "more.jsonl").rename(tmp_path / "rows.jsonl")
    assert replay("dropout-ntp", tmp_path, "out").returncode == 0


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ('{"question": "a", "chosen": "b', "rows.jsonl:1: not valid JSON"),
        ('{"question": "a"}', "rows.jsonl:1: no answer to continue"),
        ('{"chosen": "a b c"}', "rows.jsonl:1: "),
    ],
)
def test_bad_rows_are_one_sentence(tmp_path: Path, line: str, sentence: str) -> None:
    (tmp_path / "rows.jsonl").write_text(line + "\n")
    write_lines(tmp_path / "answers.jsonl", [{"texts": ["x"]}])
    done = replay("dropout-ntp", tmp_path, "out")
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not (tmp_path / "out").exists()
