"""Find where in the bytes of an XMP packet its properties stand, so that some can be changed and no other byte is."""

import re
from collections import ChainMap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from xml.parsers import expat

from core.errors import MediaError
from media.xmp import RDF

_VALUE = rb"\s+([^\s=]+)\s*=\s*(?:\"[^\"]*\"|'[^']*')"
_ATTRIBUTE = re.compile(_VALUE)
_START_TAG = re.compile(rb"<([^\s/>]+)(?:" + _VALUE + rb")*\s*/?>")
_BLANKS = b" \t\r\n"

Span = tuple[int, int]


@dataclass
class Element:
    """An element and where it stands: all of it from byte `start` to `end`, what is in it from `inside` to `close`.

    name: "{namespace}name"; written: its name with its prefix; scope: the namespaces by prefix, "" the default one;
    attributes: their names, "{namespace}name"; empty: it is a single tag, <a/>.
    """

    name: str
    written: str
    scope: ChainMap[str, str]
    attributes: frozenset[str]
    start: int
    inside: int
    empty: bool
    close: int = 0
    end: int = 0
    children: list["Element"] = field(default_factory=list)


def outline(xml: bytes) -> Element:
    """Return the first rdf:RDF, with its children and theirs; xml: UTF-8, whatever encoding it declares.

    Raises MediaError where it is not well-formed, or has no rdf:RDF.
    """
    found = _Outline(xml).rdf
    if found is None:
        raise MediaError("no XMP: there is no rdf:RDF in it")
    return found


def attribute_spans(xml: bytes, element: Element, wanted: str) -> Iterator[Span]:
    """Yield where the attribute of the name "{namespace}name" stands in an element, with the blanks before it."""
    if wanted not in element.attributes:
        return
    for match in _ATTRIBUTE.finditer(xml, element.start, element.inside):
        prefix, colon, name = match[1].decode().partition(":")
        if colon and f"{{{element.scope.get(prefix)}}}{name}" == wanted:
            yield match.span()


def lead(xml: bytes, at: int) -> bytes:
    """Return the line break and the blanks that stand before `at`, nothing where something else does."""
    line = at
    while line and xml[line - 1] in b" \t":
        line -= 1
    ending = next((ending for ending in (b"\r\n", b"\n", b"\r") if xml.endswith(ending, 0, line)), b"")
    return xml[line - len(ending) : at] if ending else b""


def last_place(xml: bytes, element: Element) -> int:
    """Return where the last thing inside an element ends: before the blanks in front of its end tag."""
    at = element.close
    while at > element.inside and xml[at - 1] in _BLANKS:
        at -= 1
    return at


class _Outline:
    """What expat tells, by its offsets. It unfolds no entities: `parse_xmp` refuses what declares any."""

    def __init__(self, xml: bytes) -> None:
        self.rdf: Element | None = None
        self._xml = xml
        self._declared: dict[str, str] = {}
        self._path: list[tuple[Element | None, dict[str, str]]] = []
        self._parser = parser = expat.ParserCreate("utf-8", "}")
        parser.StartNamespaceDeclHandler = self._declare
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        try:
            parser.Parse(xml, True)
        except expat.ExpatError as error:
            raise MediaError("it is damaged or no XMP, and is left as it is; mend it or delete it") from error

    def _declare(self, prefix: str | None, uri: str | None) -> None:
        self._declared[prefix or ""] = uri or ""

    def _start(self, name: str, attributes: Mapping[str, str]) -> None:
        declared, self._declared = self._declared, {}
        parent = self._path[-1][0] if self._path else None
        element = None
        if self.rdf is None and "{" + name == RDF + "RDF":
            outer = {prefix: uri for _, before in self._path for prefix, uri in before.items()}
            self.rdf = element = self._element(name, attributes, ChainMap(outer | declared))
        elif parent is not None and (parent is self.rdf or self._path[-2][0] is self.rdf):
            element = self._element(name, attributes, parent.scope.new_child(declared))
            parent.children.append(element)
        self._path.append((element, declared))

    def _element(self, name: str, attributes: Mapping[str, str], scope: ChainMap[str, str]) -> Element:
        start = self._parser.CurrentByteIndex
        tag = _START_TAG.match(self._xml, start)
        if tag is None:  # where expat sees a tag, and we do not
            raise MediaError("it is damaged or no XMP, and is left as it is; mend it or delete it")
        names = frozenset("{" + attribute for attribute in attributes)
        return Element("{" + name, tag[1].decode(), scope, names, start, tag.end(), tag[0].endswith(b"/>"))

    def _end(self, _: str) -> None:
        element, _declared = self._path.pop()
        if element is not None:
            element.close = self._parser.CurrentByteIndex
            element.end = element.close if element.empty else self._xml.index(b">", element.close) + 1
