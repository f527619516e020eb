"""Read XMP: what photo programs write, into photos and into .xmp files beside them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from core.errors import MediaError
from core.types import Metadata
from media.containers import MAX_XMP
from media.dates import parse_time
from media.values import degrees, hierarchy, line, number, paragraphs, position, positive, rating, united, whole

Properties = Mapping[str, Sequence[str]]
"""Values by name in the way of ElementTree: "{namespace}name"."""

RDF = "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}"
_LANGUAGE = "{http://www.w3.org/XML/1998/namespace}lang"
_DC = "{http://purl.org/dc/elements/1.1/}"
_XMP = "{http://ns.adobe.com/xap/1.0/}"
_EXIF = "{http://ns.adobe.com/exif/1.0/}"
_EXIF_EX = "{http://cipa.jp/exif/1.0/}"
_AUX = "{http://ns.adobe.com/exif/1.0/aux/}"
_TIFF = "{http://ns.adobe.com/tiff/1.0/}"
_PHOTOSHOP = "{http://ns.adobe.com/photoshop/1.0/}"
_LIGHTROOM = "{http://ns.adobe.com/lightroom/1.0/}"
_DIGIKAM = "{http://www.digikam.org/ns/1.0/}"
_CAMERA = "{http://ns.google.com/photos/1.0/camera/}"
_ITEM = "{http://ns.google.com/photos/1.0/container/item/}"

TAGS_LIST = _DIGIKAM + "TagsList"
HIERARCHICAL_SUBJECT = _LIGHTROOM + "hierarchicalSubject"
SUBJECT = _DC + "subject"

_TIMES = (_EXIF + "DateTimeOriginal", _PHOTOSHOP + "DateCreated", _XMP + "CreateDate")


def parse_xmp(packet: bytes) -> Properties:
    """Return the properties of an XMP packet, by their namespaces, whatever the prefixes.

    Attributes and elements are the same; the items of a list are its values, the default language first. Raises
    MediaError for what is no XMP, is larger than MAX_XMP, or declares entities, which could unfold to any size.
    """
    if len(packet) > MAX_XMP:
        raise MediaError(f"the XMP is larger than {MAX_XMP >> 20} MB")
    import defusedxml.ElementTree  # here, since most photos have no XMP

    try:
        root = defusedxml.ElementTree.fromstring(_trimmed(packet), forbid_dtd=True)
    except (SyntaxError, ValueError, LookupError) as error:  # of the parser, of defusedxml, of an unknown encoding
        raise MediaError("damaged or no XMP") from error
    found: dict[str, list[str]] = {}
    rdf = next(root.iter(RDF + "RDF"), None)  # the first alone: others inside of it would be read again and again
    if rdf is None:
        raise MediaError("no XMP: there is no rdf:RDF in it")
    for name, values in _properties(rdf.findall(RDF + "Description")):
        found.setdefault(name, values)
    # Google's list of what lies in a file is the one nested structure that counts.
    found[_ITEM + "Semantic"] = [part.get(_ITEM + "Semantic") or "" for part in root.iter()]
    found[_ITEM + "Semantic"] += [part.text or "" for part in root.iter(_ITEM + "Semantic")]
    return found


def _trimmed(packet: bytes) -> bytes:
    """Return a packet without the blanks and zeros around it, which XML does not allow; UTF-16 is full of zeros."""
    return packet if packet.startswith((b"\xfe\xff", b"\xff\xfe")) else packet.strip(b"\0 \t\r\n")


def _properties(descriptions: Sequence[Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the properties of rdf:Descriptions."""
    for description in descriptions:
        for name, value in description.items():
            yield name, [value]
        for element in description:
            items = list(element.iter(RDF + "li"))
            items.sort(key=lambda item: item.get(_LANGUAGE, "x-default") != "x-default")
            yield element.tag, [item.text or "" for item in items or [element]]


def read_xmp(found: Properties, source: str = "xmp") -> Metadata:
    """Return what the properties say; `source` becomes taken_from."""
    time = next((time for name in _TIMES if (time := parse_time(_first(found, name)))), None)
    return Metadata(
        taken=time[0] if time else None,
        offset=time[1] if time else None,
        taken_from=source if time else None,
        **_position(found),
        make=line(_first(found, _TIFF + "Make")),
        camera=line(_first(found, _TIFF + "Model")),
        lens=line(_first(found, _EXIF_EX + "LensModel", _AUX + "Lens")),
        exposure=positive(_first(found, _EXIF + "ExposureTime")),
        aperture=positive(_first(found, _EXIF + "FNumber")),
        iso=whole(_first(found, _EXIF_EX + "PhotographicSensitivity", _EXIF + "ISOSpeedRatings"), 1, 10**9),
        focal_length=positive(_first(found, _EXIF + "FocalLength")),
        rating=rating(_first(found, _XMP + "Rating")),
        title=line(_first(found, _DC + "title")),
        description=paragraphs(_first(found, _DC + "description")),
        keywords=_keywords(found),
        motion=_motion(found),
    )


def _first(found: Properties, *names: str) -> str | None:
    """Return the first value of the first property that has one."""
    return next((values[0] for name in names if (values := found.get(name)) and values[0].strip()), None)


def _keywords(found: Properties) -> tuple[str, ...]:
    """Return the keywords, the hierarchies before the flat ones."""
    return united(
        [
            *(hierarchy(word, "/") for word in found.get(TAGS_LIST, ())),
            *(hierarchy(word, "|") for word in found.get(HIERARCHICAL_SUBJECT, ())),
            *(line(word) for word in found.get(SUBJECT, ())),
        ]
    )


def _position(found: Properties) -> dict[str, Any]:
    """Return latitude, longitude and altitude: "48,51.494N" or "48,51,29.64N", and "35/1"."""
    latitude, longitude = (
        degrees(text[:-1].split(","), text[-1:].upper(), signs)
        for text, signs in (
            ((_first(found, _EXIF + "GPSLatitude") or "").strip(), "NS"),
            ((_first(found, _EXIF + "GPSLongitude") or "").strip(), "EW"),
        )
    )
    height = number(_first(found, _EXIF + "GPSAltitude"))
    below = _first(found, _EXIF + "GPSAltitudeRef") == "1"
    return position(latitude, longitude, -height if height is not None and below else height)


def _motion(found: Properties) -> bool:
    """Say whether a phone says that it put a video into the photo."""
    flags = (_first(found, _CAMERA + name) for name in ("MotionPhoto", "MicroVideo"))
    return "1" in flags or "MotionPhoto" in found.get(_ITEM + "Semantic", ())
