"""The Python interface, which the commands use.

Imports inside functions are deliberate: each call pays only for what it uses, and a search imports FAISS while
the model is being opened.
"""

import contextlib
import functools
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from core.diagnosis import Diagnosis, Finding, State
from core.errors import (
    GlimpseError,
    LibraryBusyError,
    LibraryError,
    NoLibraryError,
    OldLibraryError,
    QueryError,
    UnknownFileError,
)
from core.query import Options, Order, Query, Rule, Sum, Term, narrowed
from core.settings import Settings
from core.types import (
    Failure,
    Hit,
    IndexReport,
    Info,
    Kind,
    Modality,
    Progress,
    ProgressCallback,
    Status,
    StopRequested,
    Tag,
    Walk,
)
from glimpse.defaults import expanded
from glimpse.defaults import settings as default_settings

if TYPE_CHECKING:
    from encoders.base import Encoder
    from glimpse.looking import Look
    from glimpse.tagging import Suggester, Unknown
    from media.rewrite import Change
    from search.answer import Answer
    from search.dupes import Group
    from search.engine import Engine
    from store.reader import Reader

FilePath = str | os.PathLike[str]
P = ParamSpec("P")
T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
CHECKED = 32 << 20
"""Bytes of a database up to which it is checked after an unexpected error."""
PATIENCE = 30.0
"""Seconds that reading waits for another process to bring a library of an earlier version up to date."""


def open(directory: FilePath | None = None, model: str | None = None) -> "Library":  # noqa: A001
    """Open a library; its folder is made by the first `index`.

    directory: the library's folder, None for GLIMPSE_LIBRARY or the user's data directory; model: a preset of
    `glimpse models`, None for the one that the library uses already, or the default in a new one.
    """
    return Library(default_settings(None if directory is None else Path(directory), model))


def _of_library(method: Callable[Concatenate["Library", P], T]) -> Callable[Concatenate["Library", P], T]:
    """Have a method that fails unexpectedly look whether the library is damaged, and say so if it is.

    Only where that takes a second: somebody waits, and the cause may be another.
    """

    @functools.wraps(method)
    def called(self: "Library", /, *args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return method(self, *args, **kwargs)
        except GlimpseError:
            raise
        except Exception as error:
            from store.doctor import damage
            from store.names import DATABASE, REPAIR

            small = self.exists() and (self.settings.library / DATABASE).stat().st_size <= CHECKED
            if small and (found := damage(self.settings.library)):
                raise LibraryError(f"the library {self.settings.library} is damaged: {found}; {REPAIR}") from error
            raise

    return called


class Library:
    """A library of photos: index folders into it, then ask. Methods raise GlimpseError with a clear sentence."""

    def __init__(self, settings: Settings, progress: ProgressCallback | None = None) -> None:
        self.settings = settings
        self._progress = progress
        self._encoder: Encoder | None = None
        self._loaded = ""
        self._engine: Engine | None = None
        self._suggester: Suggester | None = None

    @_of_library
    def index(
        self,
        paths: Iterable[FilePath] = (),
        progress: ProgressCallback | None = None,
        stop: StopRequested = lambda: False,
        walk: Walk | None = None,
        dry_run: bool = False,
    ) -> IndexReport:
        """Take in folders or single files, or look again at all that was indexed before.

        progress: called with every step; stop: asked between photos, true ends the run after the batch in flight;
        walk: how folders are walked, now and later, None for what was said last; dry_run: count, and change nothing.
        """
        from tempfile import TemporaryDirectory

        from encoders.ears import sound_encoder
        from glimpse.ready import get_ready
        from indexer.pipeline import check_paths, index
        from search.tags import TagBank
        from store.reader import Reader
        from store.writer import Writer

        report_to = progress or self._progress or (lambda _: None)
        chosen = [expanded(path) for path in paths]
        check_paths(chosen)  # before a library is made for a slip of the pen
        if not chosen and not self.exists():
            raise LibraryError("there is nothing indexed yet; name a folder: glimpse index FOLDER")
        there = self.exists()
        if dry_run and there:
            try:
                Reader(self.settings.library).close()  # raises OldLibraryError: to write to it would change it
            except NoLibraryError:
                there = False
        encoder = self._load(self._model())  # before a library is made for a model that is not there
        with contextlib.ExitStack() as stack:
            folder = self.settings.library
            if dry_run and not there:
                folder = Path(stack.enter_context(TemporaryDirectory()))
            writer = stack.enter_context(Writer(folder))
            if dry_run:
                stack.enter_context(writer.rehearsal())
            texts = lambda: TagBank(encoder, self.settings.cache, progress=report_to).vectors  # noqa: E731
            hearing = functools.cache(partial(sound_encoder, encoder, cache=self.settings.cache, progress=report_to))
            report = index(writer, encoder, chosen, self.settings, report_to, stop, walk, dry_run, texts, hearing)
        if not dry_run and not report.interrupted:
            get_ready(folder, encoder, hearing, self.settings.cache, report_to, stop, report)
        return report

    @_of_library
    def ask(
        self,
        query: "str | Query",
        k: int = 10,
        *,
        plus: Sequence[str] = (),
        minus: Sequence[str] = (),
        like: Sequence[str] = (),
        unlike: Sequence[str] = (),
        within: FilePath | None = None,
        kind: Kind | str | None = None,
        cut: bool = True,
        exact: bool = False,
        rule: Rule | str = Rule.ADD,
        sort: Order | str = Order.SCORE,
        collapse: bool = False,
        diverse: bool = False,
        explain: bool = False,
    ) -> "Answer":
        """Return the k best photos, recordings and films for a question (docs/query.md), and whether there is more.

        plus, minus: terms to add and to subtract; like, unlike: examples to go towards and away from; within, kind:
        only what lies in this folder or below it, only "photo", "audio" or "video"; cut: end the list where nothing
        is likely to be meant any more; exact: compare every vector, however many there are; rule: how terms are
        joined, see `core.query.Rule`; sort: "score" or "date", the newest first; collapse: show what is much alike as
        one; diverse: prefer hits unlike those before them; explain: say what each term adds to each score.
        """
        from search.grammar import parse_query

        asked = query if isinstance(query, Query) else parse_query(query, plus, minus, like, unlike)
        asked = narrowed(asked, _folder(within), _kind(kind))
        options = Options(
            k, cut, exact, _one_of(Rule, rule, "rule"), _one_of(Order, sort, "order"), collapse, diverse, explain
        )
        engine = self._open_engine(texts=any(term.modality is Modality.TEXT for term in asked.terms))
        if self._progress:
            from search.length import is_cut

            for term in asked.terms:
                if term.modality is Modality.TEXT and is_cut(engine.encoder, term.value):
                    self._progress(Progress(f"the model reads only the beginning of '{term.value[:40]}...'"))
        return engine.answer(asked, options)

    def search(self, query: "str | Query", k: int = 10, **how: Any) -> list[Hit]:
        """Return the k best photos, recordings and films for a question, best first; takes what `ask` takes."""
        return list(self.ask(query, k, **how).hits)

    @_of_library
    def similar(
        self,
        file: FilePath,
        k: int = 10,
        *,
        within: FilePath | None = None,
        exact: bool = False,
        kind: Kind | str | None = None,
    ) -> list[Hit]:
        """Return the k photos, recordings and films most like a file, which is not among them, however alike."""
        from search.grammar import modality_of

        path = expanded(file)
        term = Term(modality_of(path), str(path))
        asked = narrowed(Query(Sum((term,))), _folder(within), _kind(kind))
        return list(self._open_engine().answer(asked, Options(k, cut=False, exact=exact)).hits)

    @_of_library
    def suggest_tags(self, file: FilePath, k: int = 5) -> list[Tag]:
        """Return the k tags that fit a photo, recording or film best, best first; the library need not have it.

        Those that it has are left out, and those that were rejected for it.
        """
        from search.grammar import modality_of

        path = expanded(file)
        modality = modality_of(path)
        if modality is Modality.SOUND:
            from glimpse.tagging import suggest_for_sound

            return suggest_for_sound(self._open_engine(), path, k)
        return self._open_suggester().suggest(path, modality, k)

    @_of_library
    def add_tag(self, tag: str, files: Iterable[FilePath], unknown: "Unknown | None" = None) -> int:
        """Give files a tag, "Places/Vienna"; a folder stands for all that is known in it, and copies share tags.

        unknown: told of each file that the library does not know; None: that raises UnknownFileError, and nothing is
        done. The last word wins, over keywords in files, too. Returns how many contents gained it.
        """
        return self._judge(tag, files, "added", unknown)

    @_of_library
    def remove_tag(self, tag: str, files: Iterable[FilePath], unknown: "Unknown | None" = None) -> int:
        """Take a tag from files, though they bring it as a keyword; see `add_tag`."""
        return self._judge(tag, files, "removed", unknown)

    @_of_library
    def accept_tag(self, tag: str, files: Iterable[FilePath], unknown: "Unknown | None" = None) -> int:
        """Say that a suggestion is right: adds the tag, and suggestions learn how sure they may be; see `add_tag`."""
        return self._judge(tag, files, "accepted", unknown)

    @_of_library
    def reject_tag(self, tag: str, files: Iterable[FilePath], unknown: "Unknown | None" = None) -> int:
        """Say that a suggestion is wrong: it is not made again; see `add_tag`."""
        return self._judge(tag, files, "rejected", unknown)

    @_of_library
    def rename_tag(self, old: str, new: str) -> int:
        """Rename a tag and all below it, "Places" with "Places/Vienna"; returns how many contents had one of them."""
        from store.writer import Writer

        self._must_exist()
        with Writer(self.settings.library) as writer:
            return writer.rename_tag(old, new)

    @_of_library
    def tags(self, file: FilePath | None = None) -> list[tuple[str, int]]:
        """Return the tags of a file, of all in a folder, or of everything, by name, and how many contents have each.

        Raises UnknownFileError.
        """
        from glimpse.tagging import contents_of, counted

        self._must_exist()
        with self._reader() as reader:
            return counted(reader, None if file is None else contents_of(reader, [file]))

    def write_xmp(
        self, files: Iterable[FilePath] = (), dry_run: bool = False, unknown: "Unknown | None" = None
    ) -> "Iterator[Change | Failure]":
        """Write tags into the sidecars of all files of whose tags anything was said, IMG.jpg.xmp; yields each change.

        files: of these contents only, all if there are none; dry_run: write nothing. What else a sidecar says stays.
        """
        from glimpse.tagging import contents_of, write_xmp
        from store.lock import write_lock

        self._must_exist()
        with contextlib.ExitStack() as stack:
            reader = stack.enter_context(self._reader())
            if not dry_run:
                stack.callback(write_lock(self.settings.library).release)  # one at a time, and no run beside it
            chosen = list(files)
            yield from write_xmp(reader, contents_of(reader, chosen, unknown) if chosen else None, dry_run)

    def undo_xmp(self) -> "Iterator[Path | Failure]":
        """Bring back what sidecars said before the last run of `write_xmp`; yields each file; raises LibraryError."""
        from glimpse.tagging import undo_xmp

        self._must_exist()
        return undo_xmp(self.settings.library)

    def _judge(self, tag: str, files: Iterable[FilePath], verdict: str, unknown: "Unknown | None") -> int:
        from glimpse.tagging import contents_of, judge
        from store.tagging import Verdict

        self._must_exist()
        with self._reader() as reader:
            chosen = contents_of(reader, files, unknown)
        return judge(self.settings.library, chosen, tag, Verdict(verdict))

    def _open_suggester(self) -> "Suggester":
        """Open what suggests tags, anew where the library, its tags or the model are others."""
        from glimpse.tagging import Suggester

        encoder, exists = self._load(self._model()), self.exists()
        if self._suggester is not None and not self._suggester.is_current(encoder, exists):
            self._suggester.close()
            self._suggester = None
        if self._suggester is None:
            opening = self._reader if exists else None
            self._suggester = Suggester(encoder, self.settings.cache, opening, self._progress)
        return self._suggester

    @_of_library
    def learn_sound(
        self,
        paths: Iterable[FilePath] = (),
        progress: ProgressCallback | None = None,
        stop: StopRequested = lambda: False,
    ) -> dict[str, Any] | None:
        """Teach the library to hear, from its films and from sounds beside pictures of the same name.

        paths: taken in first. Everything is heard anew afterwards. Returns how well it hears, measured on recordings
        kept aside: `kind`, `pairs`, `recordings`, `held_out`, `found`; `heard`: whether everything was heard anew.
        None if `stop` said so before anything was learned.
        """
        from glimpse.teaching import learn_sound

        report_to = progress or self._progress or (lambda _: None)
        chosen = list(paths)
        if chosen and self.index(chosen, report_to, stop).interrupted:
            return None
        self._must_exist()
        self.close()
        learned = learn_sound(self, self._load(self._model()), report_to, stop)
        if learned is not None:
            learned["heard"] = not self.index((), report_to, stop).interrupted
        return learned

    @_of_library
    def look_inside(self, progress: ProgressCallback | None = None, stop: StopRequested = lambda: False) -> "Look":
        """Open what was learned, to see what its hidden units answer to."""
        from glimpse.looking import Look

        self._must_exist()
        return Look(self, self._load(self._model()), progress or self._progress or (lambda _: None), stop)

    @_of_library
    def preview(self, hit: Hit) -> bytes:
        """Return a small picture of a hit, WebP: the stored one, or else one made from the photo, which is kept.

        Of a film, the moment that was found, where the file is there. Raises MediaError where there is neither.
        """
        from glimpse.showing import picture_of

        with self._reader() as reader:
            return picture_of(hit, reader)

    @_of_library
    def use_model(self, model: str, anyway: bool = False) -> None:
        """Have another model answer; raises LibraryError where it lacks photos, unless that is to be `anyway`."""
        from store.writer import Writer

        self._must_exist()
        with Writer(self.settings.library) as writer:
            writer.use(model, anyway)
        self.close()
        self._encoder = None

    @_of_library
    def drop_model(self, model: str) -> int:
        """Forget all vectors of a model that does not answer; returns their number."""
        from store.writer import Writer

        self._must_exist()
        with Writer(self.settings.library) as writer:
            return writer.drop(model)

    @_of_library
    def info(self, file: FilePath) -> Info:
        """Return what the library knows about one of its files; raises UnknownFileError."""
        self._must_exist()
        path = Path(os.path.abspath(expanded(file)))
        from store.overview import info

        with self._reader() as reader:
            found = info(reader, path)
        if found is None:
            raise UnknownFileError(f"{path} is not in the library; take it in with: glimpse index {path}")
        return found

    @_of_library
    def status(self) -> Status:
        """Count what is in the library."""
        from store.overview import status

        with self._reader() as reader:
            return status(reader)

    @_of_library
    def failures(self) -> list[Failure]:
        """Return the files that could not be read, and why."""
        from store.overview import failures

        with self._reader() as reader:
            return failures(reader)

    @_of_library
    def dupes(
        self,
        exact: bool = False,
        within: FilePath | None = None,
        progress: ProgressCallback | None = None,
    ) -> "list[Group]":
        """Return groups of files with the same bytes and of photos that are much alike, the best of each first.

        Nothing is changed. exact: the same bytes only; within: only what lies in this folder or below it.
        """
        from search.dupes import dupes

        self._must_exist()
        folder = _folder(within)
        with self._reader() as reader:
            if folder is not None and not reader.knows(folder):
                raise QueryError(f"the library knows nothing in {folder}; see which folders it has: glimpse status")
            report_to = progress or self._progress or (lambda _: None)
            return dupes(reader, reader.space(self.settings.model), exact, folder, report_to)

    @_of_library
    def prune(self) -> int:
        """Forget files that are gone and vectors that nothing needs any more; returns the number of files."""
        from store.writer import Writer

        self._must_exist()
        with Writer(self.settings.library) as writer:
            return writer.prune()

    @_of_library
    def backup(self, folder: FilePath, previews: bool = False, progress: ProgressCallback | None = None) -> Path:
        """Copy the library into a folder, which is a library itself, and replace an earlier backup there.

        previews: those, too. Safe beside an index run and searches. Returns the folder; raises LibraryError.
        """
        from store.backup import backup

        self._must_exist()
        target = Path(os.path.abspath(expanded(folder)))
        backup(self.settings.library, target, previews, progress or self._progress or (lambda _: None))
        return target

    def doctor(self, repair: bool = False, progress: ProgressCallback | None = None) -> Diagnosis:
        """Look the library over; with `repair`, mend what can be mended, and without change nothing."""
        from store.doctor import examine

        self._must_exist()
        if repair:
            self.close()
        found = examine(self.settings.library, repair, progress or self._progress or (lambda _: None))
        return replace(found, findings=(*found.findings, self._examine_model()))

    def _examine_model(self) -> Finding:
        """See whether the model that answers is on this machine."""
        from encoders.registry import preset
        from store.reader import Reader

        try:
            with Reader(self.settings.library) as reader:  # which, unlike self._reader(), changes nothing
                space = reader.space()
            model = self.settings.model or (space.name if space else None)
            if model is None:
                return Finding("model", State.OK, "none yet")
            chosen = preset(model)
        except OldLibraryError:
            return Finding("model", State.OK, "known once the library is up to date")
        except LibraryError:
            return Finding("model", State.OK, "known once the database can be read")
        except GlimpseError as error:
            return Finding("model", State.PROBLEM, str(error))
        if chosen.ready:
            return Finding("model", State.OK, f"'{model}' is on this machine")
        return Finding("model", State.PROBLEM, f"'{model}' is not on this machine", f"glimpse models get {model}")

    def exists(self) -> bool:
        """Say whether the library has been made yet."""
        from store.names import DATABASE, explain

        with explain(self.settings.library):
            return (self.settings.library / DATABASE).is_file()

    def close(self) -> None:
        """Close the library's files."""
        if self._engine is not None:
            self._engine.reader.close()
            self._engine = None
        if self._suggester is not None:
            self._suggester.close()
            self._suggester = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _reader(self) -> "Reader":
        """Open the library for reading, and bring one of an earlier version up to date first."""
        from store.reader import Reader

        folder, until = self.settings.library, time.monotonic() + PATIENCE
        while True:
            try:
                return Reader(folder)
            except OldLibraryError as error:
                from store.writer import Writer

                if not os.access(folder, os.W_OK):
                    raise LibraryError(
                        f"{folder} was made by an earlier glimpse and cannot be written to; "
                        f"run any glimpse command once where it can be written to"
                    ) from error
                try:
                    Writer(folder).close()
                except LibraryBusyError:  # whoever writes to it may be bringing it up to date just now
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.05)

    def _must_exist(self) -> None:
        if not self.exists():
            raise LibraryError(f"there is no library in {self.settings.library}; make one with: glimpse index FOLDER")

    def _model(self) -> str | None:
        """Return the model that was asked for, or else the library's own, if there is one."""
        if self.settings.model or not self.exists():
            return self.settings.model
        with contextlib.suppress(NoLibraryError), self._reader() as reader:  # killed while it was made: it is new
            space = reader.space()
            return space.name if space else None
        return None

    def _load(self, model: str | None) -> "Encoder":
        """Load a model, once."""
        from encoders.registry import default, load

        wanted = model or default()
        if self._encoder is None or self._loaded != wanted:
            self._encoder, self._loaded = load(wanted, self.settings.cache, self._progress), wanted
        return self._encoder

    def _open_engine(self, texts: bool = False) -> "Engine":
        """Open the library for search, anew where it or the model that answers is another; texts: some will come."""
        engine = self._engine
        if engine is not None and not (engine.reader.is_current() and engine.answers(self.settings.model)):
            self.close()
        if self._engine is None:
            self._must_exist()
            self._reader().close()
            encoder = self._load(self._model())
            if texts:
                encoder.prepare_texts()
            from search.engine import open_engine

            self._engine = open_engine(self.settings.library, encoder, self.settings.cache, self._progress)
            if self._progress and not self._engine.is_complete():
                name = encoder.space.name
                self._progress(
                    Progress(f"'{name}', as it is now, has only some photos; run: glimpse index --model {name}")
                )
        return self._engine


def _folder(path: FilePath | None) -> Path | None:
    """Return the absolute path of a folder, which need not be there."""
    return None if path is None else Path(os.path.abspath(expanded(path)))


def _kind(said: Kind | str | None) -> Kind | None:
    return None if said is None else _one_of(Kind, said, "kind")


def _one_of(choice: type[E], said: str, what: str) -> E:
    """Return one of several; raises QueryError with all of them."""
    if said in set(choice):
        return choice(said)
    raise QueryError(f"there is no {what} '{said}'; there are: {', '.join(choice)}")
