"""No name, caption, keyword or question breaks out of where it is shown: database, JSON lines, page, terminal."""

import html
import json
import os
import re
import sqlite3
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote_to_bytes, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

import glimpse
import glimpse.cli
from core.errors import MediaError, ModelError
from core.settings import Settings
from core.types import Hit, SpaceStatus
from encoders.openclip_source import CONFIG, WEIGHTS
from encoders.registry import load
from glimpse import render
from glimpse.sheet import page
from search.terms import strictly_quoted
from tests.test_terminal import XTERM, in_terminal
from tests.tiny_models import FAMILIES

NASTY: dict[str, bytes] = {
    "quotes": b'it\'s "quoted" `so`',
    "SQL": b"'; DROP TABLE files; --",
    "SQL's other quote": b'" OR 1=1; --',
    "patterns": b"100%_*?[a-z]{x}!#",
    "line breaks": b"a\n 1.000  b\rc\td",
    "a forged JSON line": b'a\n{"path": "b"}',
    "colours": b"\x1b[31mred\x1b[0m\x1b[2J",
    "a link (OSC 8)": b"\x1b]8;;x:y\x1b\\z\x1b]8;;\x1b\\",
    "the clipboard (OSC 52)": b"\x1b]52;c;ZXZpbA==\x07",
    "the title": b"\x1b]0;owned\x07",
    "bell, backspace, delete": b"a\x07b\x08\x08c\x7f",
    "right to left": "photo\u202egpj.exe".encode(),
    "isolates": "a\u2066b\u2069\u200f".encode(),
    "no width": "a\u200b\ufeff\u00adb".encode(),
    "C1 in UTF-8": "\u009b31mred\u009d0;owned\u009c".encode(),
    "C1 as a byte": b"\x9b31mred",
    "half of a C1": b"a\xc2",
    "Latin-1": b"caf\xe9",
    "half a surrogate pair": b"\xed\xa0\x80",
    "an element": b'"><img src=x onerror=alert(1)>',
    "an attribute": b"' onload='alert(1)",
    "the end of a script": b"</script></style></title><script>alert(1)</script>",
    "a comment": b"<!-- x --> <![CDATA[ ]]> <?x?>",
    "references": b"&lt;b&gt; &#27;[31m &amp",
    "line separators": "a\u2028b\u2029c\u0085d".encode(),
    "very long": b"x" * 220,
    "an option": b"-rf",
    "another option": b"--help",
    "formats": b"{0} {x!r} {{}} %s %(a)s %n",
    "markup": b"[red]a[/red] [link=x:y]b[/] :smile:",
    "a command": b"$(reboot) `id` ; ls | cat & x > y",
    "spelt out": rb"\x1b[31m \u202e \udce9",
    "spaces": b"  a  b  ",
    "emoji and combining": "👩\u200d👧 e\u0301".encode(),
}
"""All but NUL, which no name and no argument can hold. A slash in it becomes a backslash in a name."""
if sys.platform == "darwin":  # where names are UTF-8
    NASTY = {name: value for name, value in NASTY.items() if value.decode(errors="replace").encode() == value}
WORDS = {name: os.fsdecode(value) for name, value in NASTY.items()}


def name_of(nasty: bytes) -> bytes:
    return nasty.replace(b"/", b"\\")


@dataclass(frozen=True)
class Standing:
    """photos/ has a folder of each nasty name, with a photo of that name and a file that is none; plain/ its double.

    library: of photos/, itself called nastily; double: of plain/.
    """

    photos: Path
    library: Path
    double: Path
    paths: frozenset[bytes]
    broken: frozenset[bytes]


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> Standing:
    place = tmp_path_factory.mktemp("standing")
    folders = {"photos": list(NASTY.values()), "plain": [b"%d" % i for i in range(len(NASTY))]}
    paths: dict[str, list[bytes]] = {"photos": [], "plain": []}
    broken: list[bytes] = []
    for folder, names in folders.items():
        for number, (name, text) in enumerate(zip(map(name_of, names), WORDS.values(), strict=True)):
            below = os.path.join(os.fsencode(place / folder), name)
            os.makedirs(below)
            photo = os.path.join(below, name + b".jpg")
            Path(os.fsdecode(photo)).write_bytes(told(number, text if folder == "photos" else "plain"))
            Path(os.fsdecode(photo + b".json")).write_text(takeout(text if folder == "photos" else "plain"))
            bad = os.path.join(below, b"bad " + name + b".png")
            Path(os.fsdecode(bad)).write_bytes(b"no photo")
            paths[folder].append(photo)
            broken += [bad] if folder == "photos" else []
    libraries = {"photos": place / "lib\x1b[31m\n'\"<b>", "plain": place / "double"}
    for folder, library in libraries.items():
        with glimpse.Library(Settings(library, place / "cache", model="fake")) as opened:
            report = opened.index([place / folder])
            assert (report.added, report.failed) == (len(NASTY), len(NASTY))
    return Standing(
        place / "photos", libraries["photos"], libraries["plain"], frozenset(paths["photos"]), frozenset(broken)
    )


def told(number: int, text: str) -> bytes:
    """Return a JPEG of a colour of its own whose EXIF, XMP and IPTC say `text` wherever text may stand."""
    exif = Image.Exif()
    for tag in (0x010E, 0x010F, 0x0110):  # description, make, model
        exif[tag] = text.encode("utf-8", "surrogateescape")
    exif.get_ifd(0x8769)[0xA434] = text.encode("utf-8", "surrogateescape")  # lens
    allowed = html.escape(re.sub("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", text))
    xmp = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<r:Description xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f'<dc:title><r:Alt><r:li xml:lang="x-default">{allowed}</r:li></r:Alt></dc:title>'
        f"<dc:subject><r:Bag><r:li>{allowed}</r:li></r:Bag></dc:subject></r:Description></r:RDF></x:xmpmeta>"
    )
    buffer = BytesIO()
    colour = (number * 7 % 256, number * 31 % 256, 200)
    Image.new("RGB", (32, 24), colour).save(buffer, "JPEG", exif=exif, xmp=xmp.encode())
    word = b"iptc " + text.encode("utf-8", "surrogateescape")[:60]
    datasets = b"\x1c\x01\x5a\x00\x03\x1b%G" + b"\x1c\x02\x19" + len(word).to_bytes(2, "big") + word
    block = b"Photoshop 3.0\0" + b"8BIM\x04\x04\0\0" + len(datasets).to_bytes(4, "big") + datasets
    segment = b"\xff\xed" + (len(block) + 2).to_bytes(2, "big") + block
    return buffer.getvalue()[:2] + segment + buffer.getvalue()[2:]


def takeout(text: str) -> str:
    """Return what Google Takeout would say; JSON can name every character, halves of pairs included."""
    return json.dumps(
        {"title": "x", "description": f"{text}\0\x1b[31m\udcc2\udc9b", "photoTakenTime": {"timestamp": "9"}}
    )


@dataclass(frozen=True)
class Done:
    """How a command ended, and what it wrote."""

    code: int
    out: bytes
    err: str

    @property
    def lines(self) -> list[str]:
        """What stdout says to people, line by line."""
        assert self.out.endswith(b"\n")
        return self.out.decode().split("\n")[:-1]


Command = Callable[..., Done]


@pytest.fixture
def command(
    monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], standing: Standing
) -> Command:
    """Run the command line in this process, on the nasty library; nothing on stderr may play with a terminal."""

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setenv("GLIMPSE_LIBRARY", str(standing.library))
        monkeypatch.setattr(sys, "argv", ["glimpse", *map(str, arguments)])
        capfdbinary.readouterr()
        code = glimpse.cli.run()
        out, err = capfdbinary.readouterr()
        assert_printable(err)
        assert b"unexpected" not in err
        return Done(code, out, err.decode())

    return run


def assert_printable(shown: bytes | str) -> None:
    """Fail for anything that a terminal would not just show; the one exception is the end of a line."""
    text = shown.decode() if isinstance(shown, bytes) else shown  # raises for bytes that are not UTF-8
    assert [character for character in text if not character.isprintable() and character != "\n"] == []


def files(standing: Standing) -> list[str]:
    return sorted(map(os.fsdecode, standing.paths))


# --- for programs


def test_every_json_line_is_a_hit_and_gives_its_path_back(command: Command, standing: Standing) -> None:
    done = command("search", "blue", "--json", "-k", "1000")
    assert_printable(done.out)
    assert done.out.isascii()
    rows = [json.loads(line) for line in done.lines]
    assert sorted(os.fsencode(row["path"]) for row in rows) == sorted(standing.paths)


@pytest.mark.parametrize(("option", "end"), [("-0", b"\0"), ("--paths", b"\n")])
def test_programs_get_names_as_they_are(option: str, end: bytes, command: Command, standing: Standing) -> None:
    done = command("search", "blue", option, "-k", "1000")
    assert len(done.out) == sum(len(path) + 1 for path in standing.paths)
    assert all(path + end in done.out for path in standing.paths)
    if option == "-0":
        assert set(done.out.split(b"\0")[:-1]) == standing.paths


def test_the_other_commands_give_names_back_too(command: Command, standing: Standing) -> None:
    for name in ("tag", "info"):
        rows = [json.loads(line) for line in command(name, *files(standing), "--json").lines]
        assert [row["path"] for row in rows] == files(standing)
    (row,) = map(json.loads, command("status", "--json", "--errors").lines)
    assert {os.fsencode(error["path"]) for error in row["errors"]} == standing.broken
    assert (row["library"], row["roots"]) == (str(standing.library), [str(standing.photos)])
    (row,) = map(json.loads, command("index", "--json").lines)
    assert {os.fsencode(failure["path"]) for failure in row["failures"]} == standing.broken


def test_every_file_finds_itself(command: Command, standing: Standing) -> None:
    """By its own name as the question, it is known by its bytes, and left out."""
    for file in files(standing):
        rows = [json.loads(line) for line in command("similar", file, "--json", "-k", "1000").lines]
        assert {row["path"] for row in rows} == set(files(standing)) - {file}


# --- for people


def test_a_hit_is_a_line(command: Command, standing: Standing) -> None:
    done = command("search", "blue", "-k", "1000")
    assert_printable(done.out)
    assert sorted(line.split("  ", 1)[1] for line in done.lines) == sorted(map(render.plain, files(standing)))


def test_what_is_known_of_a_photo_is_a_line_for_each_thing(command: Command, standing: Standing) -> None:
    rows = ["photo", "size", "taken", "camera", "title", "description", "keywords", "models"]
    for file in files(standing):
        done = command("info", file)
        assert_printable(done.out)
        assert {line[:12].strip() for line in done.lines} <= {*rows, "place", "position", "exposure"}
        assert len(done.lines) == len({line[:12] for line in done.lines})
        assert done.lines[0] == f"photo       {render.plain(file)}"


def test_tags_are_a_line_for_each_photo(command: Command, standing: Standing) -> None:
    done = command("tag", *files(standing))
    assert_printable(done.out)
    assert len(done.lines) == len(files(standing))
    for line, file in zip(done.lines, files(standing), strict=True):  # tags are the user's own words, ": " among them
        assert line.startswith(f"{render.plain(file)}: ")


def test_a_failure_is_a_line(command: Command, standing: Standing) -> None:
    done = command("status", "--errors")
    assert_printable(done.out)
    expected = {render.plain(os.fsdecode(path)) for path in standing.broken}
    assert {line.rpartition(": ")[0] for line in done.lines} == expected
    assert len(done.lines) == len(standing.broken)


def test_the_status_is_a_line_for_each_thing(command: Command, standing: Standing) -> None:
    done = command("status")
    assert_printable(done.out)
    labels = ["library", "model", "files", "index", "tiles", "previews", "gone", "unreadable", "folder", "last run"]
    assert [line[:11].strip() for line in done.lines] == labels


@pytest.mark.parametrize("name", NASTY)
def test_a_reason_and_the_name_of_a_model_are_no_more_than_text(name: str, standing: Standing) -> None:
    """Both may come from a file: a reason from its decoder, a model's name from its folder."""
    with glimpse.Library(Settings(standing.double, standing.double)) as opened:
        status = opened.status()
    space = replace(status.spaces[0], model=f"local-dir:{WORDS[name]}")
    assert isinstance(space, SpaceStatus)
    shown = render.status_text(replace(status, spaces=(space,)))
    assert len(shown.split("\n")) == len(render.status_text(status).split("\n"))
    assert render.plain(WORDS[name]) in shown


def test_an_index_run_tells_failures_in_a_line_each(command: Command, standing: Standing) -> None:
    done = command("index")
    assert_printable(done.out)
    assert len(done.lines) == 1
    told_ = [line for line in done.err.split("\n") if line.startswith("could not read ")]
    assert len(told_) == render.SHOWN_FAILURES


MISTAKES: dict[str, tuple[str, ...]] = {
    "a file that is not there": ("search", "./{}.jpg"),
    "a question": ("search", "text:{}"),
    "a question with terms": ("search", "blue", "--plus", "text:{}", "--minus", "3:text:{}x"),
    "a weight": ("search", "0:{}"),
    "a model": ("search", "blue", "--model", "{}"),
    "a model in a folder": ("search", "blue", "--model", "local-dir:{}"),
    "a model of open_clip": ("index", "--model", "open_clip:{}/{}", "--dry-run"),
    "an option": ("search", "blue", "--{}"),
    "a value": ("search", "blue", "-k", "{}"),
    "a command": ("x{}",),
    "a folder": ("index", "nowhere {}"),
    "a photo": ("tag", "nowhere {}"),
    "a photo of the library": ("info", "nowhere {}"),
    "a library": ("status", "--library", "nowhere {}"),
    "a page": ("search", "blue", "--sheet", "nowhere {}"),
    "a page in a folder that is not there": ("search", "blue", "--sheet", "nowhere {}/x.html"),
    "a model to get": ("models", "get", "x{}"),
    "a model to use": ("models", "use", "x{}"),
    "a model to drop": ("models", "drop", "x{}"),
    "a pattern": ("index", "--dry-run", "--exclude", "x{}"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_was_typed_comes_back_printable(
    mistake: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for text in WORDS.values():
        done = command(*(part.replace("{}", text) for part in MISTAKES[mistake]))
        assert done.code in (0, 1, 2)
        if done.code == 2:
            assert done.out == b"" or mistake.startswith("a page")  # whose hits are there by then
            assert done.err.count("\n") <= 4  # click adds how the command is used
        else:
            assert_printable(done.out)


def test_a_model_in_a_folder_whose_name_is_not_utf8_is_refused(tmp_path: Path) -> None:
    """Its name could not be kept in the library; that is said before it is prepared for half a minute."""
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folder.mkdir()
    config, preprocess = FAMILIES["vit"]
    (folder / CONFIG).write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    (folder / WEIGHTS[0]).touch()
    with pytest.raises(ModelError, match="has bytes in its name that are not UTF-8; rename the folder"):
        load(f"local-dir:{folder}", tmp_path)


def test_a_file_called_like_an_option_is_no_way_to_the_terminal(command: Command) -> None:
    """As `glimpse tag *` would hand it over."""
    done = command("tag", "-\x1b]0;owned\x07\n.jpg")
    assert (done.code, "No such option" in done.err, r"\x1b" in done.err) == (2, True, True)


# --- on a terminal


@pytest.mark.parametrize("options", [(), ("--paths",), ("-0",), ("--json",)])
def test_names_are_printable_on_a_terminal(
    options: tuple[str, ...], standing: Standing, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLIMPSE_LIBRARY", str(standing.library))
    seen = in_terminal("search", "blue", "-k", "1000", *options, environ=XTERM)
    assert (seen.code, seen.stderr) == (0, "")
    shown = seen.screen.replace("\r\n", "\n").replace("\0", "\n")
    assert_printable(shown)
    assert shown.count("\n") == len(standing.paths)
    if options in (("--paths",), ("-0",)):
        assert sorted(shown.split("\n")[:-1]) == sorted(map(render.plain, files(standing)))


def test_captions_below_pictures_are_printable(standing: Standing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLIMPSE_LIBRARY", str(standing.library))
    seen = in_terminal("search", "blue", "-k", "1000", "--preview", environ={**XTERM, "TMUX": "1"})
    assert (seen.code, seen.stderr) == (0, "")
    ours = r"\x1b\[(0|1|3|38;2;[\d;]+|48;2;[\d;]+)(;38;2;[\d;]+|;48;2;[\d;]+)*m"
    assert_printable(re.sub(ours, "", seen.screen).replace("\r\n", "\n"))
    for text in (r"\x1b[31mred", "[red]a[", r"\u202e"):
        assert text in seen.screen


# --- the page


class Structure(HTMLParser):
    """Elements, attributes and texts of a page, and all else that a page may hold."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.other: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in ("meta", "img"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.setdefault(self._open[-1], []).append(data)

    def handle_comment(self, data: str) -> None:
        self.other.append(data)

    def handle_pi(self, data: str) -> None:
        self.other.append(data)

    def unknown_decl(self, data: str) -> None:
        self.other.append(data)


POLICY = "default-src 'none'; img-src data:; media-src file:; style-src 'unsafe-inline'"


def assert_sound(text: str, query: str, hits: list[Hit], pictures: bool = True) -> None:
    """Fail unless a page is exactly what it should be, with names and words as text."""
    found = Structure(text)
    assert found.other == []
    n = len(hits)
    kinds = Counter(hit.kind for hit in hits)
    timed = n - kinds["photo"]
    told = sum(hit.by_name for hit in hits) + sum(hit.confidence is not None for hit in hits)
    shown_by = {"img": n - kinds["video"]} if pictures else {"span": n}
    expected = Counter(
        dict.fromkeys(("html", "head", "title", "style", "body", "h2"), 1)
        | {"meta": 3, "div": n + 1, "figure": n, "figcaption": n, "b": sum(hit.score != 0 for hit in hits)}
        | {"a": timed, "i": timed + told, "audio": kinds["audio"], "video": kinds["video"]}
        | (shown_by if n else {"p": 1})
    )
    assert Counter(tag for tag, _ in found.elements) == Counter(
        {tag: count for tag, count in expected.items() if count}
    )
    attributes = {
        "html": {"lang"}, "meta": {"charset", "name", "content", "http-equiv"}, "div": {"class"}, "p": {"class"},
        "figure": {"title"}, "img": {"alt", "src"}, "span": {"class"}, "a": {"href"},
        "audio": {"controls", "preload", "src", "aria-label"},
        "video": {"controls", "preload", "src", "aria-label", "poster"},
    }  # fmt: skip
    for tag, held in found.elements:
        assert held.keys() <= attributes.get(tag, set())
    assert ("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY}) in found.elements
    titles = [held["title"] for tag, held in found.elements if tag == "figure"]
    assert titles == [render.printable(hit.path) for hit in hits]
    players = [held for tag, held in found.elements if tag in ("audio", "video")]
    links = [held["href"] for tag, held in found.elements if tag == "a"]
    urls = [urlsplit(held["src"] or "") for held in players]
    assert [url.geturl() for url in urls] == links
    assert {(url.scheme, url.netloc, url.query, url.fragment) for url in urls} <= {("file", "", "", "t=1.50,11.50")}
    recordings = [hit for hit in hits if hit.kind != "photo"]
    assert [unquote_to_bytes(url.path) for url in urls] == [os.fsencode(hit.path) for hit in recordings]
    assert [held["aria-label"] for held in players] == [render.plain(hit.path.name) for hit in recordings]
    if pictures:
        shown = [held for tag, held in found.elements if tag == "img"]
        assert [held["alt"] for held in shown] == [render.plain(h.path.name) for h in hits if h.kind != "video"]
        shown += [{"src": held["poster"]} for tag, held in found.elements if tag == "video"]
        assert all(re.fullmatch(r"data:image/webp;base64,[\w+/=]+", held["src"] or "") for held in shown)
    assert "".join(found.texts.get("h2", [])).strip(" ") == render.plain(query).strip(" ")
    assert_printable(text)


@pytest.mark.parametrize("name", NASTY)
def test_a_page_holds_words_as_text(name: str, command: Command, standing: Standing, tmp_path: Path) -> None:
    query = f"text:{strictly_quoted(WORDS[name])}"
    sheet = tmp_path / os.fsdecode(name_of(NASTY[name])[:100] + b".html")
    done = command("search", query, "-k", "1000", "--sheet", sheet)
    assert done.code == 0
    rows = [json.loads(line) for line in command("search", query, "-k", "1000", "--json").lines]
    hits = [Hit(Path(row["path"]), row["score"], "photo", 1, by_name=row["by_name"]) for row in rows]
    assert {row["path"] for row in rows} == set(files(standing))
    assert_sound(sheet.read_text(encoding="utf-8"), query, hits)


@given(query=st.text(max_size=30), name=st.binary(min_size=1, max_size=30), reason=st.text(max_size=30))
def test_whatever_is_on_a_page_is_text(query: str, name: bytes, reason: str) -> None:
    path = Path("/", os.fsdecode(name))
    hits = [Hit(path, 0.5, "photo", 1), *(Hit(path, 0.5, k, 1, start=1.5, end=11.5) for k in ("audio", "video"))]

    def unreadable(_: Hit) -> bytes:
        raise MediaError(reason)

    assert_sound(page([(query, hits)], lambda _: b"webp"), query, hits)
    assert_sound(page([(query, hits)], unreadable), query, hits, pictures=False)
    assert_sound(page([(query, [])], lambda _: b"webp"), query, [])


# --- anything at all

ANY = st.text(st.characters(codec=None, exclude_categories=()), max_size=40) | st.sampled_from(list(WORDS.values()))


@given(ANY)
def test_plain_text_is_printable_and_printable_text_stays(text: str) -> None:
    shown = render.plain(text)
    assert shown.isprintable()
    assert (shown == text) == text.isprintable()


@given(st.lists(ANY, max_size=4))
def test_two_texts_side_by_side_make_no_third(texts: list[str]) -> None:
    """Two bytes that are harmless apart could be one control character together."""
    assert_printable("".join(map(render.plain, texts)).encode())


@given(st.binary(max_size=40), st.lists(st.binary(min_size=1, max_size=20), max_size=3))
def test_any_name_goes_through_json(name: bytes, more: list[bytes]) -> None:
    paths = [Path(os.fsdecode(b"/" + name)), *(Path(os.fsdecode(b"/" + other)) for other in more)]
    line = json.dumps(render.hit_dict(Hit(paths[0], 0.5, "photo", 1, tuple(paths[1:]))))
    assert "\n" not in line
    assert line.isascii()
    row = json.loads(line)
    assert [os.fsencode(row["path"]), *map(os.fsencode, row["also"])] == [os.fsencode(path) for path in paths]


# --- the database


def rows(library: Path) -> Iterator[tuple[str, int]]:
    """Yield every table, and how many rows it has."""
    db = sqlite3.connect(library / "library.db")
    try:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        for (table,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall():
            yield table, db.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
    finally:
        db.close()


def test_a_library_of_nasty_names_is_like_any_other(standing: Standing) -> None:
    nasty, plain = dict(rows(standing.library)), dict(rows(standing.double))
    words = {"tags", "file_tags", "runs", "sqlite_sequence"}  # plain photos share their one keyword
    assert {table: n for table, n in nasty.items() if table not in words} == {
        table: n for table, n in plain.items() if table not in words
    }
    db = sqlite3.connect(standing.library / "library.db")
    stored = {os.path.join(root, path) for root, path in db.execute(
        "SELECT r.path, f.path FROM files f JOIN roots r ON r.id = f.root_id")}  # fmt: skip
    db.close()
    assert stored == standing.paths | standing.broken


def test_patterns_are_gits_and_nothing_else(command: Command, standing: Standing) -> None:
    """A pattern with the marks of SQL leaves out what it names, and only that."""
    done = command("index", "--dry-run", "--json", "--exclude", "'; DROP TABLE files; --/", standing.photos)
    (report,) = map(json.loads, done.lines)
    assert (report["gone"], report["unchanged"]) == (1, len(NASTY) - 1)
