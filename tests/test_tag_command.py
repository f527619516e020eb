"""`glimpse tag`: what is said of tags on the command line, and sidecars."""

import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

import glimpse
from core.errors import GlimpseError
from glimpse.cli import cli
from glimpse.cli.tag import tag as command
from store.writer import Writer
from tests import exiftool
from tests.conftest import paint

VERBS = {"add", "remove", "accept", "reject", "rename", "list"}


@pytest.fixture
def indexed(photos: Path, library: glimpse.Library, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of photos, in which we stand, with a library."""
    library.index([photos])
    monkeypatch.chdir(photos)
    monkeypatch.setenv("GLIMPSE_LIBRARY", str(library.settings.library))
    return photos


class Told:
    """What a command said, and how it ended."""

    def __init__(self, *arguments: str) -> None:
        done = CliRunner().invoke(cli, ["tag", *arguments], standalone_mode=False)
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        self.code = done.return_value or 0
        self.out, self.err = done.stdout, done.stderr

    @property
    def json(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


def test_a_tag_is_given_shown_renamed_and_taken(indexed: Path) -> None:
    assert Told("add", "Places/Sea", "red.png", "blue.png").err == "2 gained the tag 'Places/Sea'\n"
    assert Told("accept", "night", "blue.png").err == "1 gained the tag 'night'\n"
    assert Told("list").out == "       1  night\n       2  Places/Sea\n"
    assert Told("rename", "Places", "Orte").err == "2 had it, and have 'Orte' now\n"
    assert Told("remove", "Orte/Sea", "red.png", "green.png").err == "1 lost the tag 'Orte/Sea'\n"
    assert Told("reject", "night", "blue.png").err == "noted; 1 had the tag 'night'\n"
    assert Told("list", "red.png", "./blue.png").out == "red.png: \nblue.png: Orte/Sea\n"
    assert Told("list", "--json").json == [{"tag": "Orte/Sea", "count": 1}]
    assert Told("list", "--json", "blue.png").json == [
        {"path": "blue.png", "tags": [{"tag": "Orte/Sea", "count": 1}]}
    ]


def test_a_folder_stands_for_what_is_in_it(indexed: Path) -> None:
    assert Told("add", "all", ".").err == "4 gained the tag 'all'\n"
    Told("add", "one", "red.png")
    assert Told("list", ".").out == ".: all (4), one (1)\n"


def test_what_is_not_in_the_library_has_a_line_and_the_others_are_done(indexed: Path) -> None:
    paint(indexed / "new.png", (1, 2, 3))
    for arguments in (("add", "x"), ("remove", "x"), ("accept", "x"), ("reject", "x"), ("list",)):
        told = Told(*arguments, "new.png", "red.png", "nowhere.png")
        assert told.code == 2
        lines = [line for line in told.err.splitlines() if line.startswith("glimpse: ")]
        assert lines == [
            f"glimpse: {indexed / name} is not in the library; take it in with: glimpse index {indexed / name}"
            for name in ("new.png", "nowhere.png")
        ]
    assert Told("add", "x", "nowhere.png").code == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["add", " / ", "red.png"], "a tag needs a name"),
        (["add", "a\x1b[0m", "red.png"], r"cannot be the name of a tag"),
        (["rename", "nothing", "x"], "nothing has the tag 'nothing'; see which there are: glimpse tag list"),
        (["--undo"], "there is nothing to undo"),
    ],
)
def test_errors(indexed: Path, arguments: list[str], message: str) -> None:
    with pytest.raises(GlimpseError, match=message):
        Told(*arguments)


@pytest.mark.parametrize(
    "arguments", [[], ["add"], ["add", "x"], ["rename", "x"], ["--dry-run", "red.png"], ["--undo", "red.png"]]
)
def test_misuse(indexed: Path, arguments: list[str]) -> None:
    with pytest.raises(Exception, match=r"(?i)missing|--dry-run|--undo"):
        Told(*arguments)


def test_suggestions_go_on_as_before(indexed: Path) -> None:
    first = Told("-k", "3", "--json", "red.png", "blue.png").json
    assert [(line["path"], len(line["tags"])) for line in first] == [("red.png", 3), ("blue.png", 3)]  # type: ignore[arg-type]
    tags = first[0]["tags"]
    assert isinstance(tags, list)
    assert tags[0].keys() == {"tag", "score", "group", "examples", "confidence"}
    rejected = str(tags[0]["tag"])
    Told("reject", rejected, "red.png")
    Told("add", "Mine", "green.png")
    again = Told("--json", "-k", "2000", "red.png").json[0]["tags"]
    assert isinstance(again, list)
    assert rejected not in {found["tag"] for found in again}
    assert {
        key: value for found in again if found["tag"] == "Mine" for key, value in found.items() if key in
        ("tag", "group", "examples")
    } == {"tag": "Mine", "group": "own", "examples": 1}  # fmt: skip


def test_a_file_that_is_called_like_a_verb(indexed: Path) -> None:
    paint(indexed / "add", (250, 0, 0))
    assert Told("./add", "-k", "1").out.startswith("add: ")
    assert Told("red.png", "add", "-k", "1").out.splitlines()[1].startswith("add: ")


def test_help_names_every_verb(indexed: Path) -> None:
    assert {verb for verb in VERBS if f"glimpse tag {verb} " in Told("--help").out} == VERBS
    assert command.verbs.keys() == VERBS
    for verb in VERBS:
        told = Told(verb, "--help")
        assert told.out.startswith(f"Usage: cli tag {verb} ")
    assert "copies share" in " ".join(Told("add", "--help").out.split())


def test_sidecars_are_written_and_taken_back(indexed: Path) -> None:
    Told("add", "Places/Sea", "red.png")
    Told("add", "night", "blue.png")
    planned = Told("--write-xmp", "--dry-run", "red.png")
    assert planned.out == f"{indexed / 'red.png.xmp'}: + Places/Sea\n"
    assert planned.err == "1 sidecar would be written; nothing was changed\n"
    assert not list(indexed.glob("*.xmp"))
    written = Told("--write-xmp", "--json")
    assert written.json == [
        {"path": str(indexed / f"{name}.png.xmp"), "change": f"+ {tag}"}
        for name, tag in (("blue", "night"), ("red", "Places/Sea"))
    ]
    assert written.err == "2 sidecars written; to take that back: glimpse tag --undo\n"
    read = subprocess.run(
        [exiftool.program(), "-s3", "-TagsList", "-HierarchicalSubject", "-Subject", indexed / "red.png.xmp"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert read.stdout.splitlines() == ["Places/Sea", "Places|Sea", "Sea"]
    (indexed / "blue.png.xmp").write_text("mine")
    undone = Told("--undo")
    assert undone.code == 2
    assert undone.out == f"{indexed / 'red.png.xmp'}: as before\n"
    assert undone.err.startswith(f"glimpse: {indexed / 'blue.png.xmp'}: ")
    assert (indexed / "blue.png.xmp").read_text() == "mine"
    assert not (indexed / "red.png.xmp").exists()


def test_a_sidecar_that_cannot_be_written_has_a_line_and_the_others_are_done(indexed: Path) -> None:
    Told("add", "night", "red.png", "blue.png")
    (indexed / "blue.png.xmp").write_text("no XMP")
    told = Told("--write-xmp")
    assert told.code == 2
    assert told.out == f"{indexed / 'red.png.xmp'}: + night\n"
    assert told.err.splitlines()[0].startswith(f"glimpse: {indexed / 'blue.png.xmp'}: ")


def test_upper_and_lower_case_are_one_when_a_branch_is_renamed(indexed: Path) -> None:
    Told("add", "Orte/Wien", "red.png")
    Told("add", "Dog", "blue.png")
    Told("add", "hound", "green.png")
    assert Told("rename", "orte", "Places").err == "1 had it, and have 'Places' now\n"
    Told("rename", "hound", "dog")
    assert Told("list").out == "       2  Dog\n       1  Places/Wien\n"


def test_what_is_on_a_drive_that_is_away_can_be_undone_later(indexed: Path, tmp_path: Path) -> None:
    Told("add", "Pets", "red.png")
    assert Told("--write-xmp").code == 0
    indexed.rename(tmp_path / "away")
    told = Told("--undo")
    assert told.code == 2
    assert "red.png.xmp: its folder is not there; connect the drive, and undo again" in told.err
    (tmp_path / "away").rename(indexed)
    assert Told("--undo").code == 0
    assert not (indexed / "red.png.xmp").exists()


def test_one_writes_sidecars_at_a_time(indexed: Path, library: glimpse.Library) -> None:
    Told("add", "Pets", "red.png")
    with Writer(library.settings.library), pytest.raises(GlimpseError, match="another glimpse is writing"):
        Told("--write-xmp")
    assert Told("--write-xmp", "--dry-run").code == 0


def test_a_verdict_that_is_none_is_damage(indexed: Path, library: glimpse.Library) -> None:
    for number in range(4):
        Told("add", f"tag {number}", "red.png", "blue.png")
    database = library.settings.library / "library.db"
    with contextlib.closing(sqlite3.connect(database)) as db, db:
        untold = "SELECT id, 1, 'nonsense' FROM contents WHERE id NOT IN (SELECT content_id FROM verdicts) LIMIT 1"
        db.execute(f"INSERT INTO verdicts (content_id, tag_id, verdict) {untold}")
    with pytest.raises(GlimpseError, match=r"damaged: 'nonsense' was never said of a tag; .*glimpse doctor"):
        Told("list", "green.png", "blue.png", "white.png")
    told = " ".join(f"{finding.text} {finding.remedy}" for finding in library.doctor(repair=True).findings)
    assert "1 of the answers given about tags are lost" in told
    assert Told("list", "blue.png").out == "blue.png: tag 0, tag 1, tag 2, tag 3\n"
