"""Tags are written into XMP, and nothing else in it changes by a byte."""

import re
from dataclasses import replace
from html import escape
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import MediaError
from media import xmp_write
from media.sidecar import read_sidecar
from media.xmp_write import EMPTY, normalised, with_tags
from tests import exiftool
from tests.sidecars import NOTHING, SAMPLES

APPLE, COMPACT, DARKTABLE, DIGIKAM, EXIFTOOL, LIGHTROOM, OTHER_PREFIXES = (
    SAMPLES[name].whole
    for name in ("apple", "compact", "darktable", "digikam", "exiftool", "lightroom", "other-prefixes")
)
TAGS = ("Places/Austria/Vienna", "beach & sea", "日本/東京", "Café", "it's <2>")
LAST = ["Vienna", "beach & sea", "東京", "Café", "it's <2>"]
LISTS = ("XMP-digiKam:TagsList", "XMP-lr:HierarchicalSubject", "XMP-dc:Subject")


def closed(sidecar: bytes) -> bytes:
    """Write descriptions with nothing in them as one tag."""
    return re.sub(rb">\s*</[^<>]*:Description>", b"/>", sidecar)


@pytest.mark.parametrize("name", SAMPLES)
def test_without_tags_the_properties_are_taken_out_and_nothing_else(name: str) -> None:
    sample = SAMPLES[name]
    said = read_sidecar("x.xmp", sample.whole)
    assert with_tags(sample.whole, []) == sample.rest
    assert read_sidecar("x.xmp", sample.rest) == replace(said, keywords=())


@pytest.mark.parametrize("name", SAMPLES)
def test_tags_are_written_and_nothing_else(name: str) -> None:
    sample = SAMPLES[name]
    said = read_sidecar("x.xmp", sample.whole)
    after = with_tags(sample.whole, TAGS)
    assert read_sidecar("x.xmp", after) == replace(said, keywords=TAGS)
    assert closed(with_tags(after, [])) == closed(sample.rest)


@pytest.mark.parametrize("name", SAMPLES)
def test_what_says_the_tags_stays_as_it_is(name: str) -> None:
    after = with_tags(SAMPLES[name].whole, TAGS)
    assert with_tags(after, TAGS) is after
    assert with_tags(after, TAGS[::-1]) is after


@pytest.mark.parametrize("sample", [DARKTABLE, COMPACT, NOTHING, EMPTY])
def test_what_says_no_tags_stays_as_it_is_without_tags(sample: bytes) -> None:
    assert with_tags(sample, []) == sample


@pytest.mark.parametrize("sample", [DARKTABLE, EMPTY])
def test_what_was_put_in_is_taken_out_again(sample: bytes) -> None:
    assert with_tags(with_tags(sample, TAGS), []) == sample


def test_a_sidecar_is_made_where_there_is_none() -> None:
    assert with_tags(None, ["Places/Vienna", "a & b"]).decode() == (
        """<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/">
   <digiKam:TagsList>
    <rdf:Seq>
     <rdf:li>Places/Vienna</rdf:li>
     <rdf:li>a &amp; b</rdf:li>
    </rdf:Seq>
   </digiKam:TagsList>
   <lr:hierarchicalSubject>
    <rdf:Bag>
     <rdf:li>Places|Vienna</rdf:li>
     <rdf:li>a &amp; b</rdf:li>
    </rdf:Bag>
   </lr:hierarchicalSubject>
   <dc:subject>
    <rdf:Bag>
     <rdf:li>Vienna</rdf:li>
     <rdf:li>a &amp; b</rdf:li>
    </rdf:Bag>
   </dc:subject>
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
    )


@pytest.mark.parametrize(
    ("sample", "tags"),
    [
        (DIGIKAM, ["day", "Places/Vienna"]),
        (with_tags(LIGHTROOM, ["Places/Austria/Vienna", "day"]), ["Places/Austria/Vienna", "day"]),
    ],
)
def test_what_says_the_tags_already_stays_as_it_is(sample: bytes, tags: list[str]) -> None:
    assert with_tags(sample, tags) is sample


def test_levels_that_lightroom_wrote_stay_in_dc_subject() -> None:
    after = with_tags(LIGHTROOM, ["Places/Austria/Vienna", "night"]).decode()
    flat = after[after.index("<dc:subject>") : after.index("</dc:subject>")]
    assert re.findall("<rdf:li>(.*)</rdf:li>", flat) == ["Austria", "Places", "Vienna", "night"]


def test_new_properties_join_those_that_are_there() -> None:
    first = b"<rdf:Description rdf:about=''></rdf:Description>\n <rdf:Description rdf:about=''"
    after = with_tags(EXIFTOOL.replace(b"<rdf:Description rdf:about=''", first, 1), ["day"])
    assert b"</dc:subject>\n  <digiKam:TagsList" in after


def test_each_property_is_there_once() -> None:
    assert with_tags(SAMPLES["twice"].whole, ["day"]).count(b"dc:subject") == 2  # a start tag and an end tag


@pytest.mark.parametrize(
    ("sample", "where"),
    [
        (APPLE, "\n         <lr:hierarchicalSubject xmlns:lr="),
        (APPLE.replace(b"\n", b"\r\n"), "\r\n            <rdf:Bag>\r\n               <rdf:li>x</rdf:li>\r\n"),
        (EXIFTOOL, "\n  <lr:hierarchicalSubject xmlns:lr="),
        (OTHER_PREFIXES, "\n\t\t<purl:subject>\n\t\t\t<r:Bag>\n\t\t\t\t<r:li>x</r:li>\n\t\t\t</r:Bag>\n"),
        (OTHER_PREFIXES, '\n\t\t<digiKam1:TagsList xmlns:digiKam1="http://www.digikam.org/ns/1.0/">\n'),
        (COMPACT, 'xmp:Label="a/"><digiKam:TagsList xmlns:digiKam="http://www.digikam.org/ns/1.0/"><rdf:Seq>'),
        (COMPACT, "</rdf:Bag></dc:subject></rdf:Description></rdf:RDF>"),
        (NOTHING.replace(b"/>", b">\n <rdf:Description></rdf:Description>\n</rdf:RDF>"), "\n </rdf:Description>\n"),
        (NOTHING, '#"><rdf:Description rdf:about=""><digiKam:TagsList'),
        (NOTHING.replace(b"rdf:RDF xmlns:rdf", b"RDF xmlns"), '-syntax-ns#" rdf:about=""><digiKam:TagsList'),
    ],
)
def test_new_lines_look_like_those_around_them(sample: bytes, where: str) -> None:
    assert where in with_tags(sample, ["x"]).decode()


def test_what_an_encoding_lacks_is_written_as_a_number() -> None:
    after = with_tags(SAMPLES["latin-1"].whole, ["Café", "東"])
    assert b"<rdf:li>Caf\xe9</rdf:li>" in after
    assert b"<rdf:li>&#26481;</rdf:li>" in after


def test_exiftool_reads_the_tags_and_all_else_as_before(tmp_path: Path) -> None:
    beyond_it = {"latin-1", "around", "hard", "default-namespace"}  # exiftool reads little of these, before or after
    readable = {name: sample.whole for name, sample in SAMPLES.items() if name not in beyond_it}
    for name, sample in readable.items():
        (tmp_path / f"{name}.before.xmp").write_bytes(sample)
        (tmp_path / f"{name}.after.xmp").write_bytes(with_tags(sample, TAGS))
        (tmp_path / f"{name}.without.xmp").write_bytes(with_tags(sample, []))
    (tmp_path / "new.xmp").write_bytes(with_tags(None, TAGS))
    read = exiftool.read(tmp_path)

    def lists(name: str) -> list[Any]:
        return [read[name].get(tag) for tag in LISTS]

    def others(name: str) -> dict[str, Any]:
        return {tag: said for tag, said in read[name].items() if tag.startswith("XMP") and tag not in LISTS}

    expected = [list(TAGS), [tag.replace("/", "|") for tag in TAGS], LAST]
    assert lists("new.xmp") == expected
    for name in readable:
        kept = ["Austria", "Places", "Vienna", *LAST[1:]] if name == "lightroom" else LAST
        kept = ["Café", *(word for word in LAST if word != "Café")] if name in ("apple", "cr", "utf-16") else kept
        assert (name, *lists(f"{name}.after.xmp")) == (name, *expected[:2], kept)
        assert lists(f"{name}.without.xmp") == [None] * 3
        assert others(f"{name}.before.xmp") == others(f"{name}.after.xmp") == others(f"{name}.without.xmp")


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["a"], ("a",)),
        (["  a \t b\n"], ("a b",)),
        (["/Places//Vienna/"], ("Places/Vienna",)),
        ([" Places / Vienna "], ("Places/Vienna",)),
        (["|Places|Vienna|"], ("Places/Vienna",)),
        (["a", "A", "a "], ("a",)),
        (["Vienna", "Places/Vienna", "Places"], ("Places/Vienna",)),
        (["Places/Vienna", "Places/Vienna/Dom"], ("Places/Vienna", "Places/Vienna/Dom")),
        (["]]>", "--", "&amp;", "<?x?>"], ("]]>", "--", "&amp;", "<?x?>")),
        (["👩‍👩‍👧", "e\u0301"], ("👩‍👩‍👧", "e\u0301")),
        (["x" * 199], ("x" * 199,)),
        ([], ()),
    ],
)
def test_tags_are_normalised(tags: list[str], expected: tuple[str, ...]) -> None:
    assert normalised(tags) == normalised(expected) == expected
    assert read_sidecar("x.xmp", with_tags(None, tags)).keywords == expected


@pytest.mark.parametrize(
    ("tags", "reason"),
    [
        ([""], "no characters"),
        (["a", " / | "], "no characters"),
        (["a\0b"], r"'a\\x00b' has control characters"),
        (["\x1b[31m"], "control characters"),
        (["a\ufffe"], "XML does not allow"),
        (["\udcff"], r"'\\udcff' has"),
        (["x" * 200], "too long"),
        ([str(number) for number in range(1000)], "1,000 tags"),
    ],
)
def test_tags_that_cannot_be_written_are_refused(tags: list[str], reason: str) -> None:
    with pytest.raises(MediaError, match=reason) as refused:
        with_tags(DIGIKAM, tags)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (b"", "damaged or no XMP"),
        (b"<a/>", "no rdf:RDF"),
        (DIGIKAM[:-60], "damaged"),
        (DIGIKAM.replace(b"day", b"\xff"), "damaged"),
        (b'<!DOCTYPE x [<!ENTITY a "b">]>' + DARKTABLE.partition(b"\n")[2], "damaged"),
        (b"<!DOCTYPE x>" + DARKTABLE.partition(b"\n")[2], "damaged"),
        (DARKTABLE.replace(b'="5"', b'="&a;"'), "damaged"),
        (DARKTABLE.decode().replace("UTF-8", "UTF-16").encode("utf-16-le"), "damaged"),  # no BOM
        (DARKTABLE.decode().encode("utf-32"), "damaged"),
        (DARKTABLE.replace(b"UTF-8", b"windows-1252"), "written in windows-1252"),
        (DARKTABLE.replace(b"UTF-8", b"x-unheard-of"), "damaged"),
        (DARKTABLE.replace(b"UTF-8", b"utf-7"), "damaged|written in utf-7"),
        (DARKTABLE + b" " * (4 << 20), "4 MB"),
        (b"<a>" * 100_000, "damaged"),
    ],
)
def test_what_is_damaged_or_hostile_is_refused(sample: bytes, reason: str) -> None:
    with pytest.raises(MediaError, match=reason) as refused:
        with_tags(sample, ["a"])
    assert len(str(refused.value).splitlines()) == 1


def test_a_sidecar_that_would_grow_too_large_is_refused() -> None:
    large = DARKTABLE.replace(b"<darktable:history>", b" " * ((4 << 20) - len(DARKTABLE)) + b"<darktable:history>")
    assert with_tags(large, []) == large
    with pytest.raises(MediaError, match="4 MB"):
        with_tags(large, ["a"])


def test_what_would_not_be_read_again_is_not_returned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xmp_write, "escape", lambda text, quote: text.upper())
    with pytest.raises(MediaError, match="read again"):
        with_tags(DARKTABLE, ["a"])


# Sidecars of anybody: what is ours in them, and what is not, is known, since they are put together here.

URIS = {
    "dc": "http://purl.org/dc/elements/1.1/",
    "lr": "http://ns.adobe.com/lightroom/1.0/",
    "digiKam": "http://www.digikam.org/ns/1.0/",
}
OURS = (("dc", "subject"), ("lr", "hierarchicalSubject"), ("digiKam", "TagsList"))
WORDS = st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/|"), min_size=1, max_size=8)
TREES = st.lists(WORDS, min_size=1, max_size=3).map("/".join)
DECOYS = (
    "<!-- {0}:subject -->",
    "<?{0} <{0}:subject/> ?>",
    "<{0}:title>\n<{1}:Alt><{1}:li xml:lang='x-default'>{2}</{1}:li></{1}:Alt></{0}:title>",
    "<z:subject xmlns:z='urn:z' z:a='>'>{2}</z:subject >",
    "<z:s xmlns:z='urn:z'><{1}:Description {0}:subject='{2}'><{0}:subject>{2}</{0}:subject></{1}:Description></z:s>",
    "<subject>{2}<![CDATA[</{0}:subject>]]></subject>",
    "<{0}:source/>",
)


@st.composite
def sidecars(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A sidecar, and the same without the three properties."""
    rdf, *names = draw(st.permutations(["rdf", "dc", "lr", "digiKam", "a", "b-c", "é"]))
    bound = draw(st.lists(st.sampled_from(list(URIS)), unique=True))
    prefixes = dict(zip(bound, names, strict=False))
    decoy = next(iter(prefixes.values()), "other")
    left = [f"{prefixes[name]}:{local}" for name, local in OURS if name in prefixes]
    ending, step = draw(st.sampled_from([("\n", " "), ("\r\n", "\t"), ("\n", "   "), ("", "")]))
    text = st.builds(escape, WORDS)
    ours: set[int] = set()
    parts = [draw(st.sampled_from(["", "\ufeff", "<?xml version='1.0'?>", "<!-- rdf:RDF -->\n"]))]
    around = draw(st.sampled_from(["", "x", "m:xmpmeta xmlns:m='adobe:ns:meta/'"]))
    parts += [f"<{around}>{ending}"] if around else []
    parts += [f"<{rdf}:RDF xmlns:{rdf} = 'http://www.w3.org/1999/02/22-rdf-syntax-ns#' xmlns:other='urn:other'"]
    parts += [*(f" xmlns:{prefix}='{URIS[name]}'" for name, prefix in prefixes.items()), ">"]
    for _ in range(draw(st.integers(1, 3))):
        parts.append(f"{ending}{step}<{rdf}:Description {rdf}:about=''")
        if left and draw(st.booleans()):
            ours.add(len(parts))
            parts.append(f' {left.pop()} = "{draw(text)}"')
        count = draw(st.integers(0, 4))
        parts.append(">" if count or draw(st.booleans()) else "/>")
        for _ in range(count):
            parts.append(f"{ending}{step}{step}")
            if left and draw(st.booleans()):
                tag, items = left.pop(), draw(st.lists(text, max_size=3))
                ours.add(len(parts))
                parts[-1:] = ["", parts[-1] + f"<{tag}><{rdf}:Bag>{ending}"]
                parts[-1] += "".join(f"<{rdf}:li>{word}</{rdf}:li>" for word in items) + f"</{rdf}:Bag></{tag} >"
            else:
                parts[-1] += draw(st.sampled_from(DECOYS)).format(decoy, rdf, draw(text))
        if parts[-1] != "/>":
            parts.append(f"{ending}{step}</{rdf}:Description>")
    parts.append(f"{ending}</{rdf}:RDF>{f'</{around.split()[0]}>' if around else ''}")
    parts.append(draw(st.sampled_from(["", "\n", " <?e?> "])))
    rest = (part for number, part in enumerate(parts) if number not in ours)
    return "".join(parts).encode(), "".join(rest).encode()


@settings(deadline=None)
@given(sidecars(), st.lists(TREES, max_size=5))
def test_any_sidecar_keeps_every_other_byte(sidecar: tuple[bytes, bytes], tags: list[str]) -> None:
    before, rest = sidecar
    assert with_tags(before, []) == rest
    after = with_tags(before, tags)
    assert read_sidecar("x.xmp", after).keywords == normalised(tags) or not tags
    assert closed(with_tags(after, [])) == closed(rest)
    assert with_tags(after, tags) == after


@settings(deadline=None)
@given(st.sampled_from(sorted(SAMPLES)), st.binary(max_size=40), st.integers(0, 3000), st.integers(0, 60))
def test_only_media_errors_are_raised(name: str, junk: bytes, at: int, length: int) -> None:
    sample = SAMPLES[name].whole
    damaged = sample[:at] + junk + sample[at + length :]
    try:
        after = with_tags(damaged, ["a/b", "c"])
    except MediaError as error:
        assert str(error)
    else:
        assert set(read_sidecar("x.xmp", after).keywords) == {"a/b", "c"}
