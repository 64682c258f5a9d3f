"""XML files without document types, so without entities that could grow or read other files."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from torch import Tensor

from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.values import parsed_numbers


def parse_xml(path: Path, text: str) -> ElementTree.Element:
    """Parse a document without document type and entities."""
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise FilePlace(path).expected(
            "XML without a document type", "one, which may hide entities"
        )
    try:
        return ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as reason:
        raise FilePlace(path).expected("XML", str(reason)) from None


class CameraElement(NamedTuple):
    """The element of one camera, its name, and its place for messages."""

    name: str
    place: FilePlace
    element: ElementTree.Element


def camera_elements(path: Path, text: str, tag: str, key: str) -> Iterator[CameraElement]:
    """Yield the cameras of a document, named by an attribute, or else numbered."""
    for count, element in enumerate(parse_xml(path, text).iter(tag), start=1):
        name = element.get(key) or f"cam_{count}"
        yield CameraElement(name, FilePlace(path).at(f"{tag} {name}"), element)


def attributes(place: FilePlace, parent: ElementTree.Element, name: str) -> dict[str, str]:
    """Return the attributes of a child element."""
    child = parent.find(name)
    if child is None:
        raise place.expected(f"an element <{name}>", "none")
    return dict(child.attrib)


def attribute_numbers(place: FilePlace, found: dict[str, str], *keys: str) -> Tensor:
    """Return some attributes as a vector of numbers."""
    return parsed_numbers(place, [attribute(place, found, key) for key in keys], len(keys))


def attribute(place: FilePlace, found: dict[str, str], key: str) -> str:
    """Return the text of an attribute."""
    if key not in found:
        raise place.expected(f"the attribute `{key}`", f"only {', '.join(found)}")
    return found[key]
