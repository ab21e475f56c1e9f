"""Formats are told by content; files of other shapes are refused with what they look like."""

from pathlib import Path

import pytest

from prefdata.errors import PrefdataError
from prefdata.readers import read_rows
from prefdata.sniff import sniff

LF = "hiyouga+LLaMA-Factory/data"
IXC = "InternLM+InternLM-XComposer"
INTERNVL = "OpenGVLab+InternVL"
REAL = {
    f"{IXC}/InternLM-XComposer-2.5-Reward/training/data/example.json": ("ixc-reward", 1),
    f"{LF}/dpo_en_demo.json": ("lf-sharegpt", 300),
    f"{LF}/mllm_demo.json": ("lf-sharegpt", 6),
    f"{LF}/mllm_video_demo.json": ("lf-sharegpt", 3),
    f"{LF}/mllm_video_audio_demo.json": ("lf-sharegpt", 3),
    f"{LF}/mllm_audio_demo.json": ("lf-sharegpt", 3),
    "oumi-ai+oumi/data/dataset_examples/vision_language_dpo_format.jsonl": ("trl", 3),
    "axolotl-ai-cloud+axolotl/tests/fixtures/conversation.json": ("llava", 1),
    "lm-sys+FastChat/data/dummy_conversation.json": ("llava", 500),
    "mathllm+MATH-V/data/testmini.jsonl": ("qa", 304),
    f"{INTERNVL}/internvl_chat/shell/data/coco_caption.json": ("meta", None),
    f"{INTERNVL}/internvl_chat_gpt_oss/shell/data/debug_mpo.json": ("meta", None),
    "junha1125+llava-ov-data-processor/MMPR-v1.2/meta.json": ("meta", None),
}
REFUSED = {
    f"{IXC}/finetune/data/only_text_example.json": "looks like `ixc-sft-2.5`",
    f"{LF}/kto_en_demo.json": "looks like `openai`",
    f"{LF}/v1_dpo_demo.jsonl": "looks like `lf-v1`",
    "InternLM+xtuner/tests/resource/openai_sft.jsonl": "no readable row",
    "PKU-Alignment+align-anything/assets/text_to_text/preference/train.json": "no known format has rows with `prompt`",
    "turbo-llm+turbo-alignment/tests/fixtures/datasets/rm/train_preferences.jsonl": "no known format",
    f"{LF}/dataset_info.json": "no known format",
    f"{IXC}/InternLM-XComposer-1.0/finetune/mix_debug_data.json": "neither JSON lines",
    "anthropics+hh-rlhf/helpful-base/test.jsonl.gz": "git-LFS pointer",
}


@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str, shared_data: Path) -> None:
    path = shared_data / "upstream" / name
    format_id, rows = REAL[name]
    assert sniff(path).format == format_id
    if rows is not None:
        assert sum(1 for _ in read_rows(path)) == rows


@pytest.mark.parametrize("name", REFUSED)
def test_real_files_of_other_shapes(name: str, shared_data: Path) -> None:
    with pytest.raises(PrefdataError) as caught:
        sniff(shared_data / "upstream" / name)
    assert REFUSED[name] in str(caught.value)


@pytest.mark.parametrize(
    ("row", "format_id"),
    [
        ('{"question":"Q","chosen":"a","rejected":"b"}', "mmpr"),
        ('{"question":"Q","answer":"a"}', "qa"),
        ('{"question":"Q","chosen":"a"}', "qa"),
        ('{"prompt":"Q","chosen":"a","rejected":"b"}', "trl"),
        ('{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Ho"}]}', "internvl-sft"),
        ('[{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Ho"}]}]', "llava"),
        ('{"geo":{"annotation":"geo.jsonl","repeat_time":1}}', "meta"),
    ],
)
def test_content_decides_whatever_the_name(row: str, format_id: str, tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_text(row)
    assert sniff(path).format == format_id


def test_rows_are_found_behind_broken_ones(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question":"Q","ch\n{"question":"Q","chosen":"a","rejected":"b"}\n')
    assert sniff(path).format == "mmpr"


def test_reading_stops_with_the_place(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question":"Q","chosen":"a","rejected":"b"}\n\n{"question":"Q","chosen":"a"}\n')
    with pytest.raises(PrefdataError, match=r"rows\.jsonl:3: .*rejected"):
        list(read_rows(path, "mmpr"))


def test_parquet_rows_with_inline_images(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    row = {"prompt": "Q", "images": [{"bytes": b"abc", "path": None}], "chosen": "a", "rejected": "b"}
    path = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    assert (sniff(path).format, sniff(path).container) == ("trl", "parquet")
    (located,) = read_rows(path)
    assert located.record.media[0].data == b"abc"
