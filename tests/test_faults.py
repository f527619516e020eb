"""kill -9, or an error, at every named step of every run that writes.

After each, a search finds exactly what was committed, the database is whole, and the next run ends in the state that
an undisturbed one would have come to.
"""

import os
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from media import isolated
from tests import scenes
from tests.killing import AFTER, BEFORE, HALF, Fault, Killer, outliving
from tests.plain_user import InThread
from tests.scenes import Scene, check_after, scratch


class Step(NamedTuple):
    """A step of a run: its name, the scene, and the n-th call of a function before or after which to kill."""

    name: str
    scene: str
    function: str
    call: int = 1
    when: str = AFTER


COMMIT = "sqlalchemy.engine.default.DefaultDialect.do_commit"
STEPS = [
    Step("a table is made", "new", "alembic.ddl.impl.DefaultImpl.create_table", 6),
    Step("the library is made", "new", "store.writer.migrate"),
    Step("its root is made", "new", "store.writer.Writer.add_root"),
    Step("a photo is decoded", "new", "media.isolated.DecodeProcess.decode", 5),
    Step("the model has encoded", "new", "encoders.fake.FakeEncoder.encode_images", 2),
    Step("half a preview is written", "new", "pathlib.Path.write_bytes", 4, HALF),
    Step("a preview is renamed", "new", "pathlib.Path.replace", 4),
    Step("a batch: vectors written", "again", "store.batch._add_vectors", 2),
    Step("a batch: files written", "new", "store.batch._write_files", 2),
    Step("just before COMMIT", "new", "store.writer.write_batch", 2),
    Step("just after COMMIT", "new", "store.writer.Writer.commit", 2),
    Step("sidecars read again", "again", "indexer.pipeline._Run._retell"),
    Step("files to be marked gone", "again", "store.writer.Writer.mark_gone", when=BEFORE),
    Step("the run is written down", "again", "store.writer.Writer.finish"),
    Step("before the checkpoint", "again", "store.writer.Writer.close", when=BEFORE),
    Step("half an index file is written", "bare", "store.flat.FlatIndex.save", when=HALF),
    Step("an index file is renamed", "bare", "pathlib.Path.replace"),
    Step("tiers: trained", "grown", "store.ivf.IvfIndex.trained"),
    Step("tiers: the inverted file is in place, its twin is not", "grown", "store.growth._Files._save", 5),
    Step("tiers: both are in place", "grown", "store.growth._Files._save", 6),
    Step("migration: a column is added", "old", "alembic.ddl.impl.DefaultImpl.add_column", 4),
    Step("migration: committed", "old", COMMIT),
    Step("recordings: a film is opened", "sounding", "media.isolated.DecodeProcess.open", 5, BEFORE),
    Step("recordings: while listening", "sounding", "encoders.fake.FakeSounds.encode_sounds", 3),
    Step("recordings: between its frames and its sound", "sounding", "encoders.fake.FakeEncoder.encode_images", 3),
    Step("recordings: vectors written", "sounding", "store.batch._add_vectors", 2),
    Step("recordings: just before COMMIT", "sounding", "store.writer.write_batch", 2),
    Step("recordings: the mean written", "sounding", "store.writer.Writer.set_mean", 2, BEFORE),
    Step("learning: while listening", "untaught", "encoders.examples.Examples.add", 5),
    Step("learning: while learning", "untaught", "encoders.ridge.fit", 4),
    Step("learning: learned, not kept", "untaught", "store.writer.Writer.set_tower", when=BEFORE),
    Step("learning: kept, nothing heard", "untaught", "store.writer.Writer.set_tower"),
    Step("learning: kept, some heard", "untaught", "encoders.learned.LearnedEncoder.encode_sounds", 6),
    Step("prune: committed", "gone", "store.writer.Previews.sweep", when=BEFORE),
    Step("prune: a preview deleted", "gone", "os.unlink", 1),
    Step("a model dropped: not committed", "two", COMMIT, when=BEFORE),
]
MORE_STEPS = [
    Step("the library's lock is taken", "new", "store.writer.new_engine", when=BEFORE),
    Step("the schema is made, not committed", "new", COMMIT, when=BEFORE),
    Step("the model is written down", "new", "store.writer.Writer.add_space"),
    Step("the folder is remembered", "new", "store.writer.Writer.add_sources"),
    Step("a folder is walked", "new", "indexer.scan._Walker._enter", 2),
    Step("it is known what is new", "again", "indexer.pipeline.diff"),
    Step("a file is read", "new", "media.isolated.DecodeProcess.read", 5),
    Step("a preview is written", "new", "pathlib.Path.write_bytes", 4),
    Step("a batch: contents written", "new", "store.batch._add_contents", 2),
    Step("a batch: tags written", "new", "store.batch._tag_ids"),
    Step("a batch: metadata written", "again", "store.batch._write_metadata", 2),
    Step("recordings: the ear is opened", "sounding", "encoders.ears.sound_encoder"),
    Step("recordings: a space of sound is made", "untaught", "store.writer.Writer.add_space", 3),
    Step("recordings: files written", "sounding", "store.batch._write_files", 2),
    Step("recordings: committed", "sounding", "store.writer.Writer.commit", 3),
    Step("recordings: older versions dropped", "untaught", "store.writer.Writer.drop_older"),
    Step("learning: the old tower is deleted", "untaught", COMMIT, 3, BEFORE),
    Step("moved files noted", "again", "store.writer.Writer.commit", 1),
    Step("all batches committed", "again", "indexer.pipeline._Run._take_jobs", 1),
    Step("files marked gone", "again", "store.writer.Writer.mark_gone"),
    Step("the run to be written down", "again", "store.writer.Writer.finish", when=BEFORE),
    Step("an index file is written", "bare", "store.flat.FlatIndex.save"),
    Step("an index file is fsynced", "bare", "os.fsync"),
    Step("tiers: to grow while the run goes on", "grown", "store.growth.Growth.grow", when=BEFORE),
    Step("tiers: grown, the run goes on", "grown", "store.growth.Growth.grow"),
    Step("tiers: before training", "grown", "store.ivf.IvfIndex.trained", when=BEFORE),
    Step("tiers: measured", "grown", "store.growth.tuned", 2),
    Step("tiers: half an inverted file is written", "grown", "store.ivf.IvfIndex.save", 2, HALF),
    Step("tiers: half its twin is written", "grown", "store.flat.FlatIndex.save", 3, HALF),
    Step("tiers: old files removed", "grown", "store.growth.sweep", 3),
    Step("tiers: deletions forgotten", "grown", "store.writer.Writer.forget_tombstones", 1),
    Step("a model dropped: its index files to be removed", "two", "store.writer.sweep", when=BEFORE),
    Step("a model dropped: its index files removed", "two", "store.writer.sweep"),
    Step("migration: a table is made", "old", "alembic.ddl.impl.DefaultImpl.create_table", 2),
    Step("migration: not committed", "old", COMMIT, when=BEFORE),
]
ACTS = {
    "new": "index",
    "again": "index",
    "sounding": "index",
    "untaught": "learn",
    "gone": "prune",
    "bare": "search",
    "grown": "grow",
    "old": "open",
    "two": "drop",
}


@pytest.fixture(scope="module")
def killer() -> Iterator[Killer]:
    started = Killer()
    yield started
    started.close()


@pytest.fixture(scope="module")
def stage(killer: Killer, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Scene]:
    """Every scene, with what an undisturbed run makes of it."""
    place = tmp_path_factory.mktemp("stage")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(isolated, "DecodeProcess", InThread)
        return {name: Scene(act, place / name, getattr(scenes, name)).prepare(killer) for name, act in ACTS.items()}


@pytest.fixture(autouse=True)
def in_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spare the checks decode processes."""
    monkeypatch.setattr(isolated, "DecodeProcess", InThread)


def kill_and_check(scene: Scene, killer: Killer, fault: Fault) -> None:
    scene.restore()
    assert killer.run(scene.act, scene.place, fault).status == -9
    check_after(scene, killer)


def named(step: Step) -> str:
    return f"{step.scene}: {step.name}"


@pytest.mark.parametrize("step", STEPS, ids=named)
def test_killed_at_a_step(stage: dict[str, Scene], killer: Killer, step: Step) -> None:
    kill_and_check(stage[step.scene], killer, Fault(step.function, step.call, step.when))


@pytest.mark.parametrize("scene", [name for name in ACTS if name != "bare"])
def test_killed_before_a_statement(stage: dict[str, Scene], killer: Killer, scene: str) -> None:
    statement = random.Random(scene).randint(1, stage[scene].statements)
    kill_and_check(stage[scene], killer, Fault(statement=statement))


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("scene", ["new", "again"])
def test_killed_at_any_moment_with_its_decode_processes(stage: dict[str, Scene], killer: Killer, scene: str) -> None:
    kill_at_moments(stage[scene], killer, moments(scene, 2, 0.3, 1.0))


def moments(seed: str, count: int, first: float, last: float) -> list[float]:
    """Draw moments of a run, as shares of the time that it takes."""
    dice = random.Random(seed)
    return [dice.uniform(first, last) for _ in range(count)]


def kill_at_moments(scene: Scene, killer: Killer, shares: list[float]) -> None:
    """Kill a run with real decode processes after shares of the time that it takes; none of its processes stays."""
    scene.restore()
    whole = killer.run(scene.act, scene.place, real=True).seconds
    for number, share in enumerate(shares):
        scene.restore()
        mark = f"{scene.place.name}-{number}"
        killer.run(scene.act, scene.place, Fault(seconds=share * whole), real=True, mark=mark)
        until = time.monotonic() + 10
        while list(outliving(mark)):
            assert time.monotonic() < until, "a decode process is left behind"
            time.sleep(0.01)
        check_after(scene, killer)


def test_the_next_prune_sweeps_what_a_killed_run_left_of_previews(stage: dict[str, Scene], killer: Killer) -> None:
    stage["gone"].restore()
    left = stage["gone"].library / "previews" / "00" / "a-scratch-file.0123456789abcdef"
    left.parent.mkdir(exist_ok=True)
    left.write_bytes(b"half a preview")
    assert scratch(stage["gone"].library) == {left}
    check_after(stage["gone"], killer)
    assert scratch(stage["gone"].library) == set()


def test_the_next_index_file_sweeps_what_was_left_of_one_an_hour_ago(stage: dict[str, Scene], killer: Killer) -> None:
    stage["bare"].restore()
    killer.run("search", stage["bare"].place, Fault("os.fsync"))
    (left,) = scratch(stage["bare"].library)
    os.utime(left, (time.time() - 3700,) * 2)
    check_after(stage["bare"], killer)
    assert scratch(stage["bare"].library) == set()


# Errors instead of kills


class Failing(NamedTuple):
    """A step that fails, what with, and what is said about it."""

    scene: str
    function: str
    call: int
    error: str
    said: str


EXECUTE = "sqlalchemy.engine.default.DefaultDialect.do_execute"
FULL = r"^the disk that holds .* is full; free some space and run the command again$"
BROKEN = r"^the disk that holds .* cannot be read or written \(.*\); is it still connected, and whole\? If so, see .*"
BUSY = r"^.*library\.db is busy; try again when the other program has finished$"
FAILURES = [
    Failing("new", "pathlib.Path.mkdir", 1, "no room", FULL),
    Failing("new", "pathlib.Path.mkdir", 1, "read-only", r"^cannot use .* as a library: read-only file system$"),
    Failing("new", COMMIT, 1, "database full", FULL),
    Failing("new", COMMIT, 9, "database full", FULL),
    Failing("new", COMMIT, 9, "database broken", BROKEN),
    Failing("again", "store.writer.write_batch", 2, "database full", FULL),
    Failing("again", "store.batch._write_files", 2, "no room", FULL),
    Failing("again", "store.batch._write_files", 2, "no quota", FULL),
    Failing("again", EXECUTE, 30, "database broken", BROKEN),
    Failing(
        "again",
        COMMIT,
        3,
        "database locked",
        r"^.*library\.db is busy; try again when the other program has finished$",
    ),
    Failing("gone", COMMIT, 1, "database full", FULL),
    Failing("gone", EXECUTE, 6, "database broken", BROKEN),
    Failing("old", "alembic.ddl.impl.DefaultImpl.add_column", 5, "database full", FULL),
    Failing("old", COMMIT, 1, "database full", FULL),
    Failing("old", COMMIT, 1, "database broken", BROKEN),
]


@pytest.mark.parametrize("failing", FAILURES, ids=[f"{f.scene}: {f.function} {f.call} {f.error}" for f in FAILURES])
def test_a_step_that_fails_is_told_in_a_sentence(stage: dict[str, Scene], killer: Killer, failing: Failing) -> None:
    scene = stage[failing.scene]
    scene.restore()
    fault = Fault(failing.function, failing.call, BEFORE, error=failing.error)
    ended = killer.run(scene.act, scene.place, fault)
    assert ended.status == 2
    assert re.search(failing.said, ended.said), ended.said
    assert scratch(scene.library) == set()
    check_after(scene, killer)


CACHES = [
    ("new", "pathlib.Path.write_bytes", "no room"),
    ("new", "pathlib.Path.replace", "broken"),
    ("gone", "os.unlink", "read-only"),
    ("bare", "store.flat.FlatIndex.save", "no room"),
    ("bare", "os.fsync", "broken"),
    ("bare", "pathlib.Path.replace", "no room"),
    ("grown", "store.ivf.IvfIndex.trained", "no room"),
    ("grown", "store.ivf.IvfIndex.save", "no room"),
    ("grown", "os.fsync", "broken"),
    ("grown", "store.flat.FlatIndex.save", "no room"),
]


@pytest.mark.parametrize(("scene", "function", "error"), CACHES, ids=[f"{s}: {f} {e}" for s, f, e in CACHES])
def test_what_can_be_made_again_costs_no_run(
    stage: dict[str, Scene], killer: Killer, scene: str, function: str, error: str
) -> None:
    stage[scene].restore()
    assert killer.run(stage[scene].act, stage[scene].place, Fault(function, 1, BEFORE, error=error)).status == 0
    assert scratch(stage[scene].library) == set()
    check_after(stage[scene], killer, but={"previews"} if scene == "new" else set())


# The long form


INDEXING = [step for step in (*STEPS, *MORE_STEPS) if step.scene in ("new", "again", "sounding", "grown")]


@pytest.mark.long
@pytest.mark.parametrize("step", MORE_STEPS, ids=named)
def test_killed_at_another_step(stage: dict[str, Scene], killer: Killer, step: Step) -> None:
    kill_and_check(stage[step.scene], killer, Fault(step.function, step.call, step.when))


@pytest.mark.long
@pytest.mark.parametrize("scene", ACTS)
def test_killed_before_every_statement(stage: dict[str, Scene], killer: Killer, scene: str) -> None:
    for statement in range(1, stage[scene].statements + 1):
        kill_and_check(stage[scene], killer, Fault(statement=statement))


@pytest.mark.long
@pytest.mark.parametrize("step", INDEXING, ids=named)
def test_killed_at_every_call_of_a_step(stage: dict[str, Scene], killer: Killer, step: Step) -> None:
    scene = stage[step.scene]
    for call in range(1, 100):
        scene.restore()
        ended = killer.run(scene.act, scene.place, Fault(step.function, call, step.when))
        if ended.status == 0:
            assert call > step.call
            return
        check_after(scene, killer)


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("scene", ACTS)
def test_killed_at_many_moments(stage: dict[str, Scene], killer: Killer, scene: str) -> None:
    kill_at_moments(stage[scene], killer, moments(scene, 40, 0, 1.1))
