"""The run directory: nothing lost, nothing twice."""

import errno
from pathlib import Path

import pytest

from pipelines.rundir import RunDir, unique_ids
from prefdata.errors import PrefdataError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    path.write_text("{}\n")
    return path


def test_results_come_back_in_the_order_asked(tmp_path: Path, source: Path) -> None:
    with RunDir.open(tmp_path / "run", {"seed": 1}, {"prompts": source}) as run:
        for name in ("c", "a", "b"):
            run.append({"id": name, "pairs": [{"n": name}]})
        run.fail("d", {"q": 1}, "engine: no answer")
        asked = ["a", "b", "c", "d"]
        reasons = run.finish(asked, {"pairs.jsonl": (row["pairs"][0] for row in run.rows(asked[:3]))})
    assert reasons == {"engine": 1}
    assert (tmp_path / "run/pairs.jsonl").read_text() == '{"n":"a"}\n{"n":"b"}\n{"n":"c"}\n'
    assert (
        tmp_path / "run/dropped.jsonl"
    ).read_text() == '{"id":"d","reason":"engine: no answer","row":{"q":1}}\n'


def test_one_of_several_requests_is_named_beside_its_question(tmp_path: Path, source: Path) -> None:
    with RunDir.open(tmp_path / "run", {}, {"prompts": source}) as run:
        run.fail("a", {}, "engine: no", question="a")
        run.fail("b.8", {}, "engine: no", question="b")
        run.finish(["a", "b.8"], {})
    assert (tmp_path / "run/dropped.jsonl").read_text().splitlines() == [
        '{"id":"a","reason":"engine: no","row":{}}',
        '{"id":"b","request":"b.8","reason":"engine: no","row":{}}',
    ]


def test_every_way_of_tearing_the_last_line_leaves_it_owed(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "run"
    with RunDir.open(path, {}, {"prompts": source}) as run:
        run.append({"id": "a"})
        run.append({"id": "b", "text": "é"})
    part = path / "parts/0.jsonl"
    whole = part.read_bytes()
    first = whole.index(b"\n") + 1
    for length in range(first, len(whole)):
        part.write_bytes(whole[:length])
        with RunDir.open(path, {}, {"prompts": source}) as run:
            assert run.done == {"a"}
            run.append({"id": "b", "text": "é"})
        assert part.read_bytes() == whole


def test_an_unreadable_line_in_the_middle_is_owed_again(tmp_path: Path, source: Path) -> None:
    path = tmp_path / "run"
    with RunDir.open(path, {}, {"prompts": source}) as run:
        run.append({"id": "a"})
    (path / "parts/0.jsonl").write_bytes(b'\0\0\0\n{"id":"a"}\n')
    with RunDir.open(path, {}, {"prompts": source}) as run:
        assert [row["id"] for row in run.rows()] == ["a"]


def test_a_start_that_failed_before_it_asked_anything_is_no_obstacle(tmp_path: Path, source: Path) -> None:
    RunDir.open(tmp_path / "run", {"seed": 1}, {"prompts": source}).close()
    with RunDir.open(tmp_path / "run", {"seed": 2}, {"prompts": source}) as run:
        run.append({"id": "a"})
    with pytest.raises(PrefdataError, match="seed was 2 and is now 1"):
        RunDir.open(tmp_path / "run", {"seed": 1}, {"prompts": source})


def test_other_settings_are_refused_and_named(tmp_path: Path, source: Path) -> None:
    with RunDir.open(tmp_path / "run", {"temperature": 0.7, "seed": 1}, {"prompts": source}) as run:
        run.append({"id": "a"})
    with pytest.raises(PrefdataError, match=r"temperature was 0\.7 and is now 1\.0"):
        RunDir.open(tmp_path / "run", {"temperature": 1.0, "seed": 1}, {"prompts": source})
    source.write_text("{}\n{}\n")
    with pytest.raises(PrefdataError, match="prompts was "):
        RunDir.open(tmp_path / "run", {"temperature": 0.7, "seed": 1}, {"prompts": source})


def test_a_second_writer_is_refused(tmp_path: Path, source: Path) -> None:
    with (
        RunDir.open(tmp_path / "run", {}, {"prompts": source}),
        pytest.raises(PrefdataError, match="another process is writing"),
    ):
        RunDir.open(tmp_path / "run", {}, {"prompts": source})
    RunDir.open(tmp_path / "run", {}, {"prompts": source}).close()


def test_a_file_system_without_locks_is_said_and_used(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    caplog.set_level("INFO", "prefdata")
    monkeypatch.setattr("fcntl.flock", none)
    with RunDir.open(tmp_path / "run", {}, {"prompts": source}) as run:
        run.append({"id": "a"})
    assert "this file system has no locks (Function not implemented)" in caplog.text


def test_without_locks_a_second_writer_spoils_nothing(
    tmp_path: Path, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", none)
    runs = []
    for process in (1, 2):
        monkeypatch.setattr("os.getpid", lambda process=process: process)
        runs.append(RunDir.open(tmp_path / "run", {}, {"prompts": source}))
    for identity in ("a", "b", "c"):
        for number, run in enumerate(runs):
            run.append({"id": identity, "pairs": [{"text": identity * (1 + 9 * number)}]})
    for number, run in enumerate(runs):
        pairs = (row["pairs"][0] for row in run.rows(["a", "b", "c"]))
        run.finish(["a", "b", "c"], {"pairs.jsonl": pairs})
        said = [letter * (1 + 9 * number) for letter in "abc"]
        assert (tmp_path / "run/pairs.jsonl").read_text() == "".join(
            f'{{"text":"{text}"}}\n' for text in said
        )
    # One is in the middle of a line while the other starts.
    part = next(part for part in (tmp_path / "run/parts").glob("*-1.jsonl"))
    with part.open("ab") as stream:
        stream.write(b'{"id":"d"')
    with RunDir.open(tmp_path / "run", {}, {"prompts": source}) as run:
        assert run.done == {"a", "b", "c"}
    assert part.read_bytes().endswith(b'{"id":"d"')
    for run in runs:
        run.close()


def test_an_unfinished_run_is_not_finished(tmp_path: Path, source: Path) -> None:
    with (
        RunDir.open(tmp_path / "run", {}, {"prompts": source}) as run,
        pytest.raises(PrefdataError, match="1 of 1 requests are still owed"),
    ):
        run.finish(["a"], {})


def test_what_failed_is_owed_to_the_next_start(tmp_path: Path, source: Path) -> None:
    for number in range(2):
        with RunDir.open(tmp_path / "run", {}, {"prompts": source}) as run:
            assert run.owed("b")
            if number == 0:
                run.append({"id": "a", "dropped": [{"reason": "identical", "row": {}}]})
            run.fail("b", {}, "image: gone")
            assert run.finish(["b", "a"], {}) == {"identical": 1, "image": 1}
        dropped = (tmp_path / "run/dropped.jsonl").read_text().splitlines()
        assert ['"b"' in line for line in dropped] == [True, False]
    with RunDir.open(tmp_path / "run", {}, {"prompts": source}) as run:
        run.fail("b", {}, "image: gone")
        run.append({"id": "b"})
        assert run.finish(["b", "a"], {}) == {"identical": 1}
        assert not run.failed


def test_equal_rows_keep_apart() -> None:
    assert unique_ids(["a", "b", "a", "a"]) == ["a", "b", "a-2", "a-3"]
    assert unique_ids(["a", "a", "a-2"]) == ["a", "a-2", "a-2-2"]
