"""The validator: files in, a report of findings out.

Rows stream through two paths. The fast one decodes a row straight into the format's strict struct and accepts it after
a few cheap tests; it can only say "nothing to find". Everything else goes to the slow path, which reads the row
leniently and runs all rules, so that a bad row shows all its problems. A property test holds the two together.

The result of a range of rows is a `Tally`, and tallies of neighbouring ranges merge by addition, which is what lets
files be cut by byte range over processes without the rules knowing.
"""

import time
from pathlib import Path

import msgspec

from prefdata import archives
from prefdata.arrays import BrokenArray
from prefdata.blocks import blocks
from prefdata.checkfile import FileCheck, Tally
from prefdata.containers import Container, parquet_rows, probe, raw_rows, reading
from prefdata.errors import NoRows, PrefdataError, from_os_error
from prefdata.findings import Chosen, Finding, Hit, catalogue, finding, group
from prefdata.folders import data_files
from prefdata.formats import get
from prefdata.images import Tier
from prefdata.mixtures.load import listed
from prefdata.mixtures.meta import decode_meta, make_source
from prefdata.mixtures.model import Mixture, Source
from prefdata.progress import progress, say
from prefdata.ranges import how_many, over_processes
from prefdata.rangeworker import Checkers, Range
from prefdata.rules import mixture as mixture_rules
from prefdata.rules.duplicate import Duplicates
from prefdata.rules.image import ImageChecker
from prefdata.rules.length import Lengths, Ratio
from prefdata.rules.tokens import TokenLimit, token_check
from prefdata.sniff import sniff

# Findings of each code kept with their places unless told otherwise, and a number that keeps all.
KEPT = 10_000
ALL = 1 << 62


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to validate. `keep` is how many findings of each code are kept with their places (all are counted),
    `workers` the number of processes (None: all cores for large files), `tokens` a limit that rows must stay within,
    `ratio` how much the lengths of two answers may differ."""

    format: str | None = None
    images: Tier = "header"
    image_root: Path | None = None
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    keep: int = KEPT
    workers: int | None = None
    tokens: TokenLimit | None = None
    ratio: Ratio | None = None


class FileReport(msgspec.Struct, kw_only=True):
    """One file's totals."""

    path: str
    format: str
    rows: int = 0
    bytes: int = 0
    errors: int = 0
    warnings: int = 0


class Report(msgspec.Struct, kw_only=True):
    """Everything found. `unreadable` holds a sentence for each file that could not be checked at all."""

    files: list[FileReport] = []
    findings: list[Finding] = []
    counts: dict[str, int] = {}
    rows: int = 0
    seconds: float = 0.0
    unreadable: list[str] = msgspec.field(default_factory=list)
    lengths: Lengths = msgspec.field(default_factory=Lengths)

    @property
    def errors(self) -> int:
        """How many findings are errors."""
        return sum(count for code, count in self.counts.items() if catalogue()[code].severity == "error")

    @property
    def warnings(self) -> int:
        """How many findings are warnings."""
        return sum(self.counts.values()) - self.errors


def validate(paths: list[Path], options: Options) -> Report:
    """Check every file, folder and mixture. Files that cannot be read are named and the others still checked."""
    started = time.monotonic()
    if options.format is not None:
        get(options.format)
    work = _Work(options)
    for path in paths:
        if path.is_dir():
            work.folder(path)
        else:
            work.take(path, must_read=True)
    return work.report(started)


def _megabytes(size: int) -> int:
    return size // 1_000_000


class _Work:
    """The state of one validation: the files done, and what is told about them."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.wanted = Chosen(options.select, options.ignore)
        self.result = Report(files=[], findings=[], counts={}, unreadable=[])
        self.duplicates = Duplicates()
        # Files and the roots of their images -> the file's number among those reported.
        self.done: dict[tuple[Path, Path | None], int] = {}
        self.kept: dict[str, int] = {}

    def folder(self, path: Path) -> None:
        """Check what a folder holds, each file once: mixtures first, then the data that none of them names."""
        mixtures, others = data_files(path, mixtures=self.options.format is None)
        for file in mixtures:
            self.take(file, must_read=False)
        named = {file for file, _ in self.done}
        for file in others:
            if file.resolve() not in named:
                self.take(file, must_read=False)

    def take(self, path: Path, *, must_read: bool) -> None:
        """Check one file, whatever it is; `must_read`: the user named it, it was not only found in a folder."""
        try:
            if must_read and path.is_file() and (kind := archives.archive_kind(path)) is not None:
                self._archive(path, kind)
                return
            mixture = listed(path, self.options.image_root) if self.options.format is None else None
            if mixture is not None:
                self._listed(path, mixture)
                return
            sniffed = sniff(path, guess=must_read) if self.options.format is None else None
            if sniffed is not None and sniffed.container == "meta":
                self._mixture(path)
            else:
                self._data(
                    path, sniffed.format if sniffed else str(self.options.format), self.options.image_root
                )
        except NoRows:
            self._empty(path, told=must_read)
        except PrefdataError as error:
            self._unreadable(path, str(error), must_read)
        except OSError as error:
            self._unreadable(path, str(from_os_error(error)), must_read)

    def _archive(self, path: Path, kind: archives.Kind) -> None:
        """An archive: its rows are not read, but its members' names are looked at before anyone unpacks it."""
        members, hits = archives.check(path, kind)
        if hits:
            self.result.files.append(FileReport(path=str(path), format=kind, bytes=path.stat().st_size))
        for hit in hits:
            self._hit(len(self.result.files) - 1, 1, hit)
        self.result.unreadable.append(archives.told(path, kind, members, hits))

    def _unreadable(self, path: Path, sentence: str, must_read: bool) -> None:
        if must_read:
            self.result.unreadable.append(sentence)
        else:
            # A folder holds other files too; they are listed as not checked.
            self.result.files.append(FileReport(path=str(path), format="unknown", bytes=path.stat().st_size))

    def _empty(self, path: Path, *, told: bool = True) -> int:
        """A file without a row, which is whole otherwise; returns its number of rows."""
        report = FileReport(path=str(path), format=self.options.format or "empty", bytes=path.stat().st_size)
        self.result.files.append(report)
        if told:
            self._hit(len(self.result.files) - 1, 1, Hit("PD017"))
        return 0

    def _data(self, path: Path, format_id: str, root: Path | None) -> int:
        """Check one data file; returns its number of rows. Named with another root, only its images are new."""
        real = path.resolve()
        known = next((number for (file, _), number in self.done.items() if file == real), None)
        if known is not None and ((real, root) in self.done or self.options.images == "none"):
            return self.result.files[known].rows
        probed = probe(path)
        number = len(self.result.files) if known is None else known
        tally = Tally()
        checker = ImageChecker(root, path.parent, self.options.images)
        tokens = token_check(self.options.tokens, root, path.parent)
        check = FileCheck(
            get(format_id), checker, tally, self.wanted, self.options.keep, tokens, self.options.ratio
        )
        if probed.container == "jsonl":
            self._lines(path, probed.compressed, format_id, root, number, check, (checker, tokens))
        else:
            self._rows(path, probed.container, check)
        if "PD418" in self.wanted:
            checker.join_missing(tally.counts, tally.hits, tally.references)
        # Only now: a file that cannot be read to its end has no report, and is told of again when named again.
        self.done[real, root] = number
        if known is not None:
            self._take_over(number, tally, only="image")
            return tally.rows
        check.finish(probed.bom)
        self.duplicates.merge(tally.duplicates, number, 0)
        self.result.files.append(
            FileReport(path=str(path), format=format_id, rows=tally.rows, bytes=path.stat().st_size)
        )
        self.result.rows += tally.rows
        self.result.lengths.add(tally.lengths)
        self._take_over(number, tally)
        return tally.rows

    def _take_over(self, number: int, tally: Tally, only: str | None = None) -> None:
        """The findings of a file, or those of one group."""
        for code, count in tally.counts.items():
            if only is None or group(code) == only:
                self._count(number, code, count)
        for line, hit in tally.hits:
            if only is None or group(hit.code) == only:
                self._keep(number, line, hit)

    def _lines(
        self, path: Path, compressed: bool, format_id: str, root: Path | None, number: int, check: FileCheck,
        own: Checkers,
    ) -> None:  # fmt: skip
        """JSON lines, in blocks; a large file over several processes."""
        size = path.stat().st_size
        workers = 1 if compressed else how_many(self.options.workers, size)
        with progress(f"validate {path.name}", _megabytes(size) if not compressed else None, "MB") as bar:
            if workers > 1:
                whole = Range(
                    path=str(path), format=format_id, root=str(root) if root is not None else None,
                    tier=self.options.images, select=self.options.select, ignore=self.options.ignore,
                    keep=self.options.keep, tokens=self.options.tokens, ratio=self.options.ratio, start=0, stop=size,
                )  # fmt: skip
                for work, part in over_processes(whole, workers, own):
                    check.tally.merge(part, number)
                    bar.advance(_megabytes(work.stop) - bar.done)
                return
            done = 0
            with reading(path) as stream:
                for block in blocks(stream):
                    check.block(block)
                    done += len(block.data)
                    bar.advance(_megabytes(done) - bar.done)

    def _rows(self, path: Path, container: Container, check: FileCheck) -> None:
        """Rows of an array or a parquet file."""
        with progress(f"validate {path.name}", None) as bar:
            try:
                if container == "parquet":
                    for line, row in parquet_rows(path):
                        check.record(line, row)
                        bar.advance()
                else:
                    for raw in raw_rows(path, container):
                        check.raw(raw)
                        bar.advance()
            except BrokenArray as error:
                check.broken(error)

    def _listed(self, path: Path, mixture: Mixture) -> None:
        """A mixture that is no meta.json: its sources, all told at its first line."""
        for note in mixture.notes:
            say(note)
        number = len(self.result.files)
        size = path.stat().st_size if path.exists() else 0  # `path#N` is no file itself
        self.result.files.append(FileReport(path=str(path), format=mixture.kind, bytes=size))
        for source in mixture.sources:
            self._source(number, 1, source)

    def _mixture(self, path: Path) -> None:
        """A meta.json, with its own findings and their lines."""
        try:
            document = decode_meta(path.read_bytes())
        except ValueError as error:
            raise PrefdataError(f"{path}: not a readable meta.json ({error}).") from error
        number = len(self.result.files)
        self.result.files.append(FileReport(path=str(path), format="meta", bytes=path.stat().st_size))
        for line, hit in mixture_rules.document_hits(document):
            self._hit(number, line, hit)
        for name, entry in document.sources.items():
            line = document.line(name)
            hits = list(mixture_rules.entry_hits(name, entry))
            for hit in hits:
                self._hit(number, line, hit)
            if any(hit.code in ("PD704", "PD705") for hit in hits):
                continue
            self._source(number, line, make_source(path, name, entry, self.options.image_root))

    def _source(self, number: int, line: int, source: Source) -> None:
        rows = None
        if source.annotation.is_file():
            try:
                format_id = source.format or sniff(source.annotation, guess=True).format
                if format_id == "meta":
                    what = f"{source.annotation} is a mixture itself, a data file is needed"
                    self._hit(number, line, Hit("PD705", source.name, what))
                    return
                rows = self._data(source.annotation, format_id, source.root)
            except NoRows:
                rows = self._empty(source.annotation)
            except PrefdataError as error:
                self.result.unreadable.append(str(error))
                return
        for hit in mixture_rules.source_hits(source, rows):
            self._hit(number, line, hit)

    def _hit(self, file: int, line: int, hit: Hit) -> None:
        if hit.code in self.wanted:
            self._count(file, hit.code, 1)
            self._keep(file, line, hit)

    def _count(self, file: int, code: str, count: int) -> None:
        self.result.counts[code] = self.result.counts.get(code, 0) + count
        if catalogue()[code].severity == "error":
            self.result.files[file].errors += count
        else:
            self.result.files[file].warnings += count

    def _keep(self, file: int, line: int, hit: Hit) -> None:
        kept = self.kept[hit.code] = self.kept.get(hit.code, 0) + 1
        if kept <= self.options.keep:
            self.result.findings.append(finding(hit, self.result.files[file].path, line))

    def report(self, started: float) -> Report:
        """The findings that need the whole input, then everything in order of place."""
        names = [file.path for file in self.result.files]
        if "PD501" in self.wanted or "PD502" in self.wanted:
            for file, line, hit in self.duplicates.hits(names):
                self._hit(file, line, hit)
        order = {name: index for index, name in enumerate(names)}
        self.result.findings.sort(key=lambda found: (order[found.path], found.line, found.code, found.field))
        self.result.counts = dict(sorted(self.result.counts.items()))
        self.result.seconds = round(time.monotonic() - started, 3)
        return self.result
