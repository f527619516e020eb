"""Write tags into XMP, and leave every other byte of it as it is."""

import codecs
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from core.errors import MediaError
from media.outline import Element, attribute_spans, last_place, lead, outline
from media.values import MAX_KEYWORDS, NAME_LENGTH, hierarchy, line, united
from media.xmp import HIERARCHICAL_SUBJECT, RDF, SUBJECT, TAGS_LIST, Properties, parse_xmp, read_xmp

EMPTY = b"""<?xml version="1.0" encoding="UTF-8"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:digiKam="http://www.digikam.org/ns/1.0/"
    xmlns:lr="http://ns.adobe.com/lightroom/1.0/"
    xmlns:dc="http://purl.org/dc/elements/1.1/">
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
"""
"""A sidecar that says nothing."""

_ENCODINGS = ("utf-8", "ascii", "iso8859-1")
_UTF_16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_DECLARED = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([\w.-]+)[\"']", re.ASCII)
_AROUND = b"\0 \t\r\n"


@dataclass(frozen=True)
class _Kind:
    """A property that holds tags: its usual prefix, its kind of list, and what stands between the levels of a tag."""

    prefix: str
    container: str
    separator: str | None


_KINDS = {
    TAGS_LIST: _Kind("digiKam", "Seq", "/"),
    HIERARCHICAL_SUBJECT: _Kind("lr", "Bag", "|"),
    SUBJECT: _Kind("dc", "Bag", None),
}


def with_tags(existing: bytes | None, tags: Sequence[str]) -> bytes:
    """Return a sidecar that says these tags and no others, and all else that `existing` says (None: there was none).

    digiKam:TagsList gets the tags with "/" between their levels, lr:hierarchicalSubject with "|", dc:subject their
    last levels, and of the others those that it had. What already says the tags, in whatever order, stays as it is;
    without tags, the three are taken out. All other bytes stay: comments, blanks, padding, prefixes, BOM. Only a tag
    that was empty, <rdf:Description/>, is opened where something has to go into it.

    UTF-8, UTF-16 (with a BOM), ASCII and ISO-8859-1 keep their encoding. Raises MediaError for other encodings, for
    what `parse_xmp` refuses, and for what `normalised` does.
    """
    wanted = normalised(tags)
    packet = EMPTY if existing is None else existing
    found = parse_xmp(packet)
    before, xml, after, encoding = _decoded(packet)
    spliced = _spliced(xml, list(_edits(xml, found, wanted)))
    if spliced == xml:
        return packet
    result = before + spliced.decode().encode(encoding, "xmlcharrefreplace") + after
    if set(read_xmp(parse_xmp(result)).keywords) != set(wanted):
        raise MediaError("tags cannot be written into this XMP so that they are read again")
    return result


def normalised(tags: Iterable[str]) -> tuple[str, ...]:
    """Return tags as they are read again: "/" between levels, single blanks, no empty levels, none twice.

    "|" separates levels, too, as it does in lr:hierarchicalSubject. Upper and lower case are one, and a tag that is a
    level of another is dropped, as `united` has it. Raises MediaError for a tag of nothing, of NAME_LENGTH characters
    or more (a longer one would have been cut when it was read), with characters that do not belong into a line of
    text, and for MAX_KEYWORDS tags or more.
    """
    words = [_normal(tag) for tag in tags]
    if len(words) >= MAX_KEYWORDS:
        raise MediaError(f"there are {len(words):,} tags, and fewer than {MAX_KEYWORDS:,} can be written")
    return united(words)


def _normal(tag: str) -> str:
    """Return a tag as it is read again."""
    levels = (" ".join(level.split()) for level in tag.replace("|", "/").split("/"))
    plain = "/".join(filter(None, levels))
    if not plain:
        raise MediaError(f"a tag has no characters, or none but blanks and separators: {tag!a}")
    if len(plain) >= NAME_LENGTH:
        raise MediaError(f'the tag "{plain[:20]}..." is too long: fewer than {NAME_LENGTH} characters can be written')
    if hierarchy(plain, "/") != plain:
        raise MediaError(f"the tag {tag!a} has control characters or others that XML does not allow")
    return plain


def _decoded(packet: bytes) -> tuple[bytes, bytes, bytes, str]:
    """Return what is before the XML (blanks, zeros), the XML as UTF-8, what is behind it, and its encoding."""
    encoding = _UTF_16.get(packet[:2])
    xml = packet if encoding else packet.strip(_AROUND)
    start = 0 if encoding else len(packet) - len(packet.lstrip(_AROUND))
    if encoding is None:
        declared = _DECLARED.match(xml.removeprefix(codecs.BOM_UTF8))
        encoding = _codec(declared[1].decode()) if declared else "utf-8"
    try:
        text = xml.decode(encoding)
    except UnicodeDecodeError as error:
        raise MediaError("it is damaged or no XMP, and is left as it is; mend it or delete it") from error
    return packet[:start], text.encode(), packet[start + len(xml) :], encoding


def _codec(name: str) -> str:
    """Return Python's name of a declared encoding; raises MediaError for those that XMP has no business with."""
    try:
        codec = codecs.lookup(name).name
    except LookupError:
        codec = name
    if codec not in _ENCODINGS:
        raise MediaError(f"the XMP is written in {name}, and not changed; save it as UTF-8")
    return codec


Edit = tuple[int, int, bytes]
"""Bytes from the first place to the second are replaced."""


def _spliced(xml: bytes, edits: list[Edit]) -> bytes:
    """Make all the edits, none of which overlap."""
    parts, at = [], 0
    for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
        parts += [xml[at:start], new]
        at = end
    return b"".join([*parts, xml[at:]])


def _edits(xml: bytes, found: Properties, wanted: tuple[str, ...]) -> Iterator[Edit]:
    """Yield what has to be changed so that the three properties say what is wanted, each of them once."""
    rdf = outline(xml)
    descriptions = [one for one in rdf.children if one.name == RDF + "Description"]
    missing: dict[str, list[str]] = {}
    for name, kind in _KINDS.items():
        said = found.get(name, ())
        elements = [(one, child) for one in descriptions for child in one.children if child.name == name]
        attributes = [span for one in descriptions for span in attribute_spans(xml, one, name)]
        if wanted and len(elements) + len(attributes) == 1 and _says(kind, said, wanted):
            continue
        yield from ((*span, b"") for span in attributes)
        if wanted and elements:
            (home, first), *elements = elements
            inner = lead(xml, first.start)
            new = _property(home.scope, name, _values(kind, said, wanted), inner, _step(xml, home, inner))
            yield first.start, first.end, new
        elif wanted:
            missing[name] = _values(kind, said, wanted)
        yield from ((child.start - len(lead(xml, child.start)), child.end, b"") for _, child in elements)
    if missing and descriptions:
        yield _into_description(xml, min(descriptions, key=_unfit), missing)
    elif missing:
        yield _into_rdf(xml, rdf, missing)


def _says(kind: _Kind, said: Sequence[str], wanted: tuple[str, ...]) -> bool:
    """Say whether a property already says the tags, whatever else stands there that means the same."""
    if kind.separator:
        return set(united(hierarchy(word, kind.separator) for word in said)) == set(wanted)
    return _last_levels(wanted).keys() <= {line(word) for word in said} <= _levels(wanted)


def _values(kind: _Kind, said: Sequence[str], wanted: tuple[str, ...]) -> list[str]:
    """Return what a property has to say; of dc:subject, levels stay that other programs wrote."""
    if kind.separator:
        return [tag.replace("/", kind.separator) for tag in wanted]
    levels = _levels(wanted)
    kept = (word for word in map(line, said) if word in levels)
    return list(dict.fromkeys([*filter(None, kept), *_last_levels(wanted)]))


def _levels(tags: Iterable[str]) -> set[str | None]:
    return {level for tag in tags for level in tag.split("/")}


def _last_levels(tags: Iterable[str]) -> dict[str, None]:
    return dict.fromkeys(tag.rpartition("/")[2] for tag in tags)


def _unfit(description: Element) -> tuple[bool, bool]:
    """Order descriptions by how they suit new properties: one with some of them comes first, an empty tag last."""
    return not any(child.name in _KINDS for child in description.children), description.empty


def _into_description(xml: bytes, home: Element, properties: dict[str, list[str]]) -> Edit:
    """Return the edit that puts properties behind what a description says."""
    inner = _inner_lead(xml, home)
    step = _step(xml, home, inner)
    return _into(xml, home, [inner + _property(home.scope, *one, inner, step) for one in properties.items()])


def _into_rdf(xml: bytes, rdf: Element, properties: dict[str, list[str]]) -> Edit:
    """Return the edit that puts a description with properties into an rdf:RDF that has none."""
    prefix, declared = _prefix({name: uri for name, uri in rdf.scope.items() if name}, RDF, "rdf")
    outer = _inner_lead(xml, rdf)
    inner = outer + b" " if outer else b""
    tag = f"{prefix}:Description"
    scope = rdf.scope.new_child({prefix: _uri(RDF)})
    parts = [inner + _property(scope, *one, inner, inner[len(outer) :]) for one in properties.items()]
    opened = f'<{tag}{declared} {prefix}:about="">'.encode()
    return _into(xml, rdf, [outer, opened, *parts, outer, f"</{tag}>".encode()])


def _into(xml: bytes, element: Element, parts: list[bytes]) -> Edit:
    """Return the edit that puts something behind the last thing in an element."""
    content = b"".join(parts)
    closing = lead(xml, element.start)
    if element.empty:
        return (
            element.inside - len(b"/>"),
            element.inside,
            b">%s%s</%s>" % (content, closing, element.written.encode()),
        )
    at = last_place(xml, element)
    return at, at, content + closing if at == element.close and content != content.lstrip() else content


def _inner_lead(xml: bytes, element: Element) -> bytes:
    """Return the line break and the indentation for a new child."""
    if element.children:
        return lead(xml, element.children[-1].start)
    outer = lead(xml, element.start)
    return outer and outer + b" "


def _step(xml: bytes, parent: Element, inner: bytes) -> bytes:
    """Return by what a child is indented further than its parent."""
    outer = lead(xml, parent.start)
    return (inner.removeprefix(outer) if outer and inner.startswith(outer) else b"") or (inner and b" ")


def _property(scope: Mapping[str, str], name: str, values: list[str], inner: bytes, step: bytes) -> bytes:
    """Return a property with its list; inner: its line break and indentation, nothing for all in one line."""
    kind = _KINDS[name]
    prefix, declared = _prefix(scope, name, kind.prefix)
    rdf, _ = _prefix(scope, RDF, "rdf")
    local = name.rpartition("}")[2]
    tag, container, item = (
        f"{one}:{each}" if one else each for one, each in ((prefix, local), (rdf, kind.container), (rdf, "li"))
    )
    around, deep = (inner.decode() + step.decode() * times for times in (1, 2))
    items = "".join(f"{deep}<{item}>{escape(value, quote=False)}</{item}>" for value in values)
    whole = f"<{tag}{declared}>{around}<{container}>{items}{around}</{container}>{inner.decode()}</{tag}>"
    return whole.encode()


def _prefix(scope: Mapping[str, str], name: str, usual: str) -> tuple[str, str]:
    """Return the prefix for the namespace of "{namespace}name", and its declaration where it has none yet."""
    uri = _uri(name)
    bound = next((prefix for prefix, known in scope.items() if known == uri), None)
    if bound is not None:
        return bound, ""
    prefix = next(one for number in itertools.count() if (one := f"{usual}{number or ''}") not in scope)
    return prefix, f' xmlns:{prefix}="{uri}"'


def _uri(name: str) -> str:
    return name[1 : name.index("}")]
