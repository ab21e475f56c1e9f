"""Every file of ../shared/data: its format, its rows, and that what can be converted comes back as it was.

`FILES`: path -> (format, rows, rows that cannot be read). `REFUSED`: path -> what the refusal says.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from prefdata.containers import Container
from prefdata.errors import PrefdataError
from prefdata.formats import BadRow, CannotHold, Format, get
from prefdata.readers import plain_rows
from prefdata.records import Record
from prefdata.sniff import sniff
from prefdata.verify import canonical

IXC = "InternLM+InternLM-XComposer"
XTUNER = "InternLM+xtuner/tests/resource"
LF = "hiyouga+LLaMA-Factory/data"
LLAVA = "haotian-liu+LLaVA"
SWIFT = "modelscope+ms-swift/tests/llm/data"
TURBO = "turbo-llm+turbo-alignment/tests/fixtures/datasets/rm"
AXOLOTL = "axolotl-ai-cloud+axolotl/tests/fixtures"
INTERNVL = "OpenGVLab+InternVL"
FILES = {
    f"{IXC}/InternLM-XComposer-2.5-Reward/training/data/example.json": ("ixc-reward", 1, 0),
    f"{IXC}/finetune/data/only_text_example.json": ("ixc-sft-2.5", 2, 0),
    f"{IXC}/finetune/data/single_turn_single_image_example.json": ("ixc-sft-2.5", 2, 0),
    # XTuner's role `pretrain` is nobody who speaks in a conversation.
    f"{XTUNER}/mllm_pretrain_image_example_data.jsonl": ("openai", 12, 12),
    f"{XTUNER}/mllm_sft_multi_image_example_data.jsonl": ("openai", 11, 0),
    f"{XTUNER}/mllm_sft_single_image_example_data.jsonl": ("openai", 22, 0),
    f"{XTUNER}/mllm_sft_video_example_data.jsonl": ("openai", 10, 0),
    f"{XTUNER}/openai_sft.jsonl": ("openai", 128, 0),
    "PKU-Alignment+align-anything/assets/text_to_text/preference/train.json": ("pku", 32, 0),
    "allenai+open-instruct/open_instruct/test_data/rlvr_test.jsonl": ("rlvr", 100, 0),
    f"{AXOLOTL}/alpaca/alpaca.json": ("lf-alpaca", 2, 0),
    f"{AXOLOTL}/conversation.json": ("llava", 1, 0),
    f"{AXOLOTL}/conversation.missingturns.json": ("llava", 1, 0),
    f"{LLAVA}/playground/data/coco2014_val_gpt4_qa_30x3.jsonl": ("lf-alpaca", 90, 0),
    f"{LLAVA}/playground/data/coco2014_val_qa_eval/qa90_questions.jsonl": ("llava-eval", 90, 0),
    f"{LF}/alpaca_en_demo.json": ("lf-alpaca", 999, 0),
    f"{LF}/dpo_en_demo.json": ("lf-sharegpt", 300, 0),
    f"{LF}/kto_en_demo.json": ("lf-sharegpt", 300, 0),
    f"{LF}/mllm_audio_demo.json": ("lf-sharegpt", 3, 0),
    f"{LF}/mllm_demo.json": ("lf-sharegpt", 6, 0),
    f"{LF}/mllm_video_audio_demo.json": ("lf-sharegpt", 3, 0),
    f"{LF}/mllm_video_demo.json": ("lf-sharegpt", 3, 0),
    f"{LF}/reason_tool_use_demo_50.jsonl": ("lf-v1", 50, 0),
    f"{LF}/v1_dpo_demo.jsonl": ("lf-v1", 10, 0),
    f"{LF}/v1_multimodal_demo.jsonl": ("lf-v1", 24, 0),
    "lm-sys+FastChat/data/dummy_conversation.json": ("llava", 500, 0),
    "mathllm+MATH-V/data/testmini.jsonl": ("qa", 304, 0),
    f"{SWIFT}/alpaca.jsonl": ("lf-alpaca", 3, 0),
    f"{SWIFT}/conversations.jsonl": ("sharegpt", 3, 0),
    f"{SWIFT}/multi_modal_1.jsonl": ("swift", 3, 0),
    f"{SWIFT}/multi_modal_2.jsonl": ("swift", 3, 0),
    "oumi-ai+oumi/data/dataset_examples/vision_language_dpo_format.jsonl": ("trl", 3, 0),
    "princeton-nlp+LLMBar/Dataset/CaseStudy/Base_10/dataset.json": ("llmbar", 54, 0),
    f"{TURBO}/train_kto.jsonl": ("turbo-alignment", 4, 0),
    f"{TURBO}/train_preferences.jsonl": ("turbo-alignment", 16, 0),
}
METAS = (
    f"{INTERNVL}/internvl_chat/shell/data/coco_caption.json",
    f"{INTERNVL}/internvl_chat/shell/data/internvl_1_2_finetune.json",
    f"{INTERNVL}/internvl_chat_gpt_oss/shell/data/debug_mpo.json",
    f"{INTERNVL}/internvl_chat_gpt_oss/shell/data/debug_sft.json",
    "junha1125+llava-ov-data-processor/MMPR-v1.2/meta.json",
)
EVALUATION = f"{IXC}/InternLM-XComposer-2.0/evaluation"
REFUSED = {
    f"{IXC}/InternLM-XComposer-1.0/finetune/mix_debug_data.json": "neither JSON lines",
    f"{IXC}/InternLM-XComposer-2.0/finetune/data.txt": "neither JSON lines",
    f"{IXC}/InternLM-XComposer-2.5-Reward/training/data.txt": "neither JSON lines",
    f"{EVALUATION}/MMMU/MMMU_val_InternLM_XComposer_VL.json": "a prediction file",
    f"{EVALUATION}/MMMU/answer_dict_val.json": "no known format",
    f"{EVALUATION}/Output/MMVet_InternLM_XComposer_VL.json": "a prediction file",
    f"{IXC}/InternLM-XComposer-2.5-Reward/evaluation/vl_rewardbench/results.json": "no known format",
    "InternLM+xtuner/examples/demo_data/multi_turn_1/data.json": "a custom XTuner data set",
    "InternLM+xtuner/examples/demo_data/pretrain/data.json": "a custom XTuner data set",
    "MMMU-Benchmark+MMMU/mmmu/example_outputs/llava1.5_13b/Math/output.json": "a model's predictions",
    "NVIDIA-NeMo+Skills/tests/data/score_rm_inputs/output-rs0.jsonl": "generated samples",
    "allenai+open-instruct/scripts/synth_pref/example/create_annotation_mix_out/full/helpfulness-full.jsonl": (
        "answers waiting to be rated"
    ),
    "anthropics+hh-rlhf/helpful-base/test.jsonl.gz": "git-LFS pointer",
    "datajuicer+data-juicer/demos/data/demo-dataset-annotation-human-preference.jsonl": "nobody has compared",
    "datajuicer+data-juicer/demos/data/demo-dataset-images.jsonl": "captions",
    f"{LLAVA}/llava/eval/table/review/review_bard_vicuna-13b.jsonl": "a judge's reviews",
    f"{LF}/dataset_info.json": "a registry of data sets",
    "modelscope+ms-swift/swift/dataset/data/dataset_info.json": "a registry of data sets",
    "oumi-ai+oumi/data/dataset_examples/judge_input.jsonl": "answers to be judged",
}
TARGETS = ("mmpr", "internvl-sft", "trl", "lf-sharegpt", "swift", "ixc-reward")


def test_the_tables_name_every_file(shared_data: Path) -> None:
    root = shared_data / "upstream"
    suffixes = (".json", ".jsonl", ".gz", ".txt")
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.suffix in suffixes}
    assert found == {*FILES, *METAS, *REFUSED}


def records(path: Path, fmt: Format, container: Container) -> Iterator[Record | None]:
    for _, row in plain_rows(path, container):
        try:
            yield fmt.to_record(row)
        except BadRow:
            yield None


@pytest.mark.parametrize("name", FILES)
def test_every_file_is_read_and_comes_back(name: str, shared_data: Path) -> None:
    path = shared_data / "upstream" / name
    format_id, rows, bad = FILES[name]
    told = sniff(path)
    assert told.format == format_id
    source = get(format_id)
    read = list(records(path, source, told.container))
    assert (len(read), read.count(None)) == (rows, bad)
    for record in read:
        if record is None:
            continue
        for target in TARGETS:
            there = through(get(target), record)
            # And back into the format it came from, where that one is written.
            if there is not None and source.writes:
                through(source, there)


def through(target: Format, record: Record) -> Record | None:
    try:
        written = target.from_record(record)
    except CannotHold:
        return None
    found = target.to_record(msgspec.json.decode(msgspec.json.encode(written.row)))
    assert canonical(found, written.lost) == canonical(record, written.lost)
    return found


def test_some_target_holds_every_record(shared_data: Path) -> None:
    """Questions and tool calls aside, no convertible row is left without a target."""
    without: dict[str, int] = {}
    for name, (format_id, _, _) in FILES.items():
        path = shared_data / "upstream" / name
        for record in records(path, get(format_id), sniff(path).container):
            if record is not None and all(through(get(target), record) is None for target in TARGETS):
                without[name] = without.get(name, 0) + 1
    assert without == {
        f"{LLAVA}/playground/data/coco2014_val_qa_eval/qa90_questions.jsonl": 90,
        "allenai+open-instruct/open_instruct/test_data/rlvr_test.jsonl": 100,
        "mathllm+MATH-V/data/testmini.jsonl": 304,
    }


@pytest.mark.parametrize("name", METAS)
def test_mixtures(name: str, shared_data: Path) -> None:
    assert sniff(shared_data / "upstream" / name).format == "meta"


@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_records_is_refused_with_a_sentence(name: str, shared_data: Path) -> None:
    with pytest.raises(PrefdataError) as caught:
        sniff(shared_data / "upstream" / name)
    assert REFUSED[name] in str(caught.value)


def test_judging_cases_are_questions(shared_data: Path) -> None:
    path = shared_data / "judge_cases_dev.jsonl"
    assert sniff(path).format == "qa"
    read = list(records(path, get("qa"), "jsonl"))
    # 162 cases have no `question`: a judge needs none.
    assert (len(read), read.count(None)) == (4783, 162)
