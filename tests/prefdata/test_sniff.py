"""Formats are told by content, never by the name; every real file has its line in test_shared_files.py."""

from pathlib import Path

import pytest

from prefdata.errors import PrefdataError
from prefdata.readers import read_rows
from prefdata.sniff import sniff


@pytest.mark.parametrize(
    ("row", "format_id"),
    [
        ('{"question":"Q","chosen":"a","rejected":"b"}', "mmpr"),
        ('{"question":"Q","answer":"a"}', "qa"),
        ('{"question":"Q","chosen":"a"}', "qa"),
        ('{"question":"Q","chosen":"a","rejceted":"b"}', "mmpr"),
        ('{"question":"Q","choosen":"a","rejected":"b"}', "mmpr"),
        ('{"qestion":"Q","chosen":"a","rejected":"b"}', "mmpr"),
        ('{"question":"Q","chosen":"a","rejected_meta":{}}', "qa"),
        ('{"messages":[{"role":"user","content":"Q"}],"weight":NaN}', "openai"),
        ('{"prompt":"Q","chosen":"a","rejected":"b"}', "trl"),
        ('{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Ho"}]}', "internvl-sft"),
        ('[{"conversations":[{"from":"human","value":"Hi"},{"from":"gpt","value":"Ho"}]}]', "llava"),
        ('{"geo":{"annotation":"geo.jsonl","repeat_time":1}}', "meta"),
        ('{"conversations_a":[],"conversations_b":[]}', "ixc-reward"),
        ('{"conversations":[],"rejected_conversations":[]}', "povid"),
        ('{"conversations":[],"chosen":{},"rejected":{}}', "lf-sharegpt"),
        ('{"messages":[],"rejected_response":"b"}', "swift"),
        ('{"messages":[],"rejected_images":["b"]}', "swift"),
        ('{"prompt":"Q","answers":[{"answer":"a","rank":1.0}]}', "nectar"),
        ('{"instruction":"Q","completions":[{"response":"a","annotations":{}}]}', "ultrafeedback"),
        ('{"prompt":"Q","img_path":"a","completions":{"response":["a"],"annotations":[{}]}}', "vlfeedback"),
        ('{"question":"Q","chosen":"a","rejected":"b","image":{"path":"a"},"idx":"0"}', "rlaifv"),
        ('{"question":"Q","chosen":"a","rejected":"b","image":"a","image_name":"a"}', "spavl"),
        ('{"instruction":"Q","chosen":"a","rejected":"b"}', "lf-alpaca"),
        ('{"prompt":"Q","chosen":[],"rejected":[],"score_chosen":1,"score_rejected":0}', "ultrafeedback"),
        ('{"prompt":"Q","chosen":"a","rejected":"b","subset":"s"}', "rewardbench"),
        ('{"prompt":"Q","chosen":["a","b","c"],"rejected":["d","e","f"]}', "rmbench"),
        ('{"prompt":"Q","completion":"a","label":true}', "trl"),
        ('{"chosen":[],"rejected":[]}', "trl"),
        ('{"chosen":"\\n\\nHuman: Q\\n\\nAssistant: a","rejected":"b"}', "hh"),
        ('{"conversations":[{"from":"user","value":"<ImageHere>Q"}],"image":["a"]}', "ixc-sft-2.0"),
        ('{"conversations":[{"from":"user","value":"Q"}],"image":"a"}', "ixc-sft-2.5"),
        ('{"conversations":[{"from":"system","value":"S"},{"from":"human","value":"Q"}]}', "sharegpt"),
        ('{"messages":[{"role":"user","content":"Q"}]}', "openai"),
        ('[{"role":"user","content":"Q"}]\n[{"role":"user","content":"Q"}]', "openai"),
        ('{"messages":[{"role":"user","content":"Q"}],"images":["a"]}', "swift"),
        ('{"messages":[{"role":"user","content":"<image>Q"}],"images":["a"]}', "lf-sharegpt"),
        ('{"query":"Q","response":["a","b"],"human_ranking":[0,1]}', "vlrb"),
        ('{"query":"Q","chosen":"a","rejected":"b"}', "mmpr"),
        ('{"image":"a","input":"Q","chosen":"a","rejected":"b"}', "mmpr"),
        ('{"question":"Q","good":"a","bad":"b"}', "mmpr"),
        ('{"question":"Q","response":"a","rejected_response":"b"}', "mmpr"),
        ('{"question":"Q","answer":"a","negative":"b"}', "qa"),
        ('{"messages":[{"role":"user","content":"Q"}],"rejected":"b"}', "swift"),
        ('{"messages":[{"role":"user","content":"Q"}],"rejected":false}', "openai"),
        ('{"conversations":[],"chosen":"a","rejected":"b"}', "lf-sharegpt"),
        ('{"conversations":[{"from":"human","value":"Hi"}],"rejected":"b"}', "lf-sharegpt"),
        ('{"question":"Q","conversations":[],"chosen":"a","rejected":"b"}', "mmpr"),
    ],
)
def test_content_decides_whatever_the_name(row: str, format_id: str, tmp_path: Path) -> None:
    path = tmp_path / "data.bin"
    path.write_text(row)
    assert sniff(path).format == format_id


def test_where_two_formats_fit_the_other_is_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"prompt":[{"role":"user","content":"Q"}],"chosen":[],"rejected":[]}')
    assert "`xtuner-pref` look the same" in sniff(path).reason
    path.write_text('{"messages":[{"role":"user","content":"<image>Q"}],"images":["a"]}')
    assert "`swift` reads them too" in sniff(path).reason


@pytest.mark.parametrize("layout", ['{"data":[%s]}', '{\n "version": 1,\n "data": [\n  %s\n ]\n}'])
def test_rows_in_a_list_of_an_object_are_told(layout: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(layout % '{"question":"Q","chosen":"a","rejected":"b"}')
    with pytest.raises(
        PrefdataError, match="rows \\(of `mmpr`\\) lie in a list under `data`; write the list alone"
    ):
        sniff(path)


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
