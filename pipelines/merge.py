"""Shards of one run to the files that one run would have written.

Shards are contiguous parts of the input in whole groups, so the merged files are the shards' files one after the
other. Everything is put together beside the target and moved into place at the end: there is either a whole merged
run or none. Requests that failed in a shard are listed in dropped.jsonl as they would be in one run.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from pipelines import cot_run, dropout_run, step_run
from pipelines.audit import of_samples
from pipelines.output import relative_images
from pipelines.tally import joined
from prefdata.errors import PrefdataError, from_os_error
from prefdata.jsonl import read_lines, write_json, write_jsonl
from prefdata.mixtures import load
from prefdata.progress import say

_COPY_BYTES = 1 << 20
_COUNTED = (
    *("pairs", "format_pairs", "samples", "undecided", "hard", "easy"),  # of cot-pairs, dropout-ntp and eval
    *("steps", "prm", "orm"),  # of step-scores
)
_ROW = msgspec.json.Decoder(dict[str, msgspec.Raw])


def merge(shards: Sequence[Path], out: Path) -> dict[str, Any]:
    """Join finished shards into the run directory `out`; returns its counts. Raises PrefdataError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise PrefdataError(f"{out}: exists and is not empty; choose another --out-dir.")
    found = sorted(((_shard_of(path, manifest), path, manifest) for path, manifest in map(_read, shards)))
    _check([(shard, path, manifest) for shard, path, manifest in found])
    for _, path, manifest in found:
        _check_rows(path, manifest["counts"])
    paths = [path for _, path, _ in found]
    manifests = [manifest for _, _, manifest in found]
    config = manifests[0]["config"] | {"shard": None}
    counts: dict[str, Any] = _total([manifest["counts"] for manifest in manifests])
    if "judging" in counts:
        tallies = [manifest["counts"]["judging"] for manifest in manifests]
        counts["judging"] = joined(tallies, counts["judging"])
    work = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        (work / "parts").mkdir(parents=True)
        for name in sorted({file.name for path in paths for file in path.glob("*.jsonl")}):
            _join([path / name for path in paths], work / name)
        audits = [path / "audit.jsonl" for path in paths]
        if any(
            map(Path.exists, audits)
        ):  # a draw from all samples, not the shards' draws one after the other
            rows = (msgspec.json.decode(line) for _, line in read_lines(work / "samples.jsonl"))
            counts["audit"] = write_jsonl(work / "audit.jsonl", of_samples(rows, audits))
        for number, path in enumerate(paths):
            _join(sorted((path / "parts").glob("*.jsonl")), work / "parts" / f"{number}.jsonl")
        write_json(work / "run.json", manifests[0] | {"config": config, "counts": counts})
        root = _root(paths, manifests, out)
        if config["command"] == "cot-pairs":
            shown = counts["judging"] | {"dropped": counts["dropped"]}
            cot_run.describe(work, config, shown, root, out.name)
        elif config["command"] == "step-scores":
            step_run.describe(work, config | manifests[0]["written"], counts, out.name)
        else:
            dropout_run.describe(work, config, counts, root, out.name)
        out.parent.mkdir(parents=True, exist_ok=True)
        if out.exists():
            out.rmdir()
        work.rename(out)
    except OSError as error:
        raise from_os_error(error) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return counts


def _root(paths: Sequence[Path], manifests: Sequence[dict[str, Any]], out: Path) -> Path | None:
    """Where the image paths of all shards start; None, and a sentence, where they do not start in one folder."""
    counts = [(path, manifest["counts"]) for path, manifest in zip(paths, manifests, strict=True)]
    trainable = [path for path, found in counts if found.get("pairs")]
    pictured = [path for path in trainable if any(relative_images(path / "pairs.jsonl"))]
    metas = [path / "meta.json" for path in pictured or trainable[:1]]
    roots = {source.root for meta in metas if meta.exists() for source in load(meta).sources}
    if len(roots) == 1 and all(meta.exists() for meta in metas):
        return next(iter(roots))
    if metas:
        say(f"{out}: no meta.json was written, because the images of the shards do not start in one folder.")
    return None


def _read(path: Path) -> tuple[Path, dict[str, Any]]:
    try:
        manifest = msgspec.json.decode((path / "run.json").read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise PrefdataError(f"{path}: no run.json; name the run directories of the shards.") from error
    except msgspec.DecodeError as error:
        raise PrefdataError(f"{path / 'run.json'}: not a run.json of prefdata.") from error
    if "finished" not in manifest:
        raise PrefdataError(f"{path}: this shard is not finished; run its command again first.")
    return path, manifest


def _shard_of(path: Path, manifest: dict[str, Any]) -> tuple[int, int]:
    index, _, count = str(manifest["config"].get("shard")).partition("/")
    if not (index.isdigit() and count.isdigit()):
        raise PrefdataError(f"{path}: not a shard (it was made without --shard).")
    return int(index), int(count)


def _check(found: Sequence[tuple[tuple[int, int], Path, dict[str, Any]]]) -> None:
    (_, count), first, manifest = found[0]
    for (index, other_count), path, other in found:
        for part in ("config", "inputs"):
            one, two = (_comparable(entry, part) for entry in (manifest, other))
            if one != two or count != other_count:
                raise PrefdataError(
                    f"{path}: made with another {part} than {first}; only shards of one run can be merged."
                )
        if sum(index == shard for (shard, _), _, _ in found) > 1:
            raise PrefdataError(f"{path}: shard {index} of {count} is given twice.")
    missing = sorted(set(range(count)) - {index for (index, _), _, _ in found})
    if missing:
        raise PrefdataError(
            f"Shard {missing[0]} of {count} is missing ({len(missing)} in all); name all run directories."
        )


def _check_rows(path: Path, counts: dict[str, Any]) -> None:
    """Refuse a shard whose files hold more or fewer rows than its run.json says: the merged counts would be false."""
    expected = {name: counts[name] for name in _COUNTED if name in counts}
    expected["dropped"] = sum(counts["dropped"].values())
    for name, number in expected.items():
        file = path / f"{name}.jsonl"
        found = _whole_rows(file) if file.exists() else 0
        if found != number:
            raise PrefdataError(
                f"{file}: {found} whole rows are there, and {path / 'run.json'} says {number}; "
                "run this shard's command again, which writes its files again."
            )


def _whole_rows(file: Path) -> int:
    """How many lines of a file are rows with their newline; one that was torn is none."""
    rows = 0
    with file.open("rb") as stream:
        for line in stream:
            try:
                _ROW.decode(line)
            except msgspec.DecodeError:
                continue
            rows += line.endswith(b"\n")
    return rows


def _comparable(manifest: dict[str, Any], part: str) -> dict[str, Any]:
    if part == "config":
        settings = manifest["config"] | manifest.get("written", {})
        return {key: value for key, value in settings.items() if key != "shard"}
    return {name: entry["hash"] for name, entry in manifest["inputs"].items()}


def _total(counts: Sequence[Any]) -> Any:
    """Sums of numbers, through nested mappings; counts by reason are sorted, as `RunDir.finish` writes them."""
    if isinstance(counts[0], dict):
        names = list(dict.fromkeys(name for count in counts for name in count))
        if all(isinstance(value, int) for count in counts for value in count.values()):
            names.sort()
        return {name: _total([count[name] for count in counts if name in count]) for name in names}
    return sum(counts) if all(isinstance(count, int | float) for count in counts) else counts[0]


def _join(files: Sequence[Path], target: Path) -> None:
    with target.open("wb") as out:
        for file in files:
            if file.exists():
                with file.open("rb") as stream:
                    shutil.copyfileobj(stream, out, _COPY_BYTES)
