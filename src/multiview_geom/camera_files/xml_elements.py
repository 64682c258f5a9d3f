"""XML files without document types, so without entities that could grow or read other files."""

from pathlib import Path
from xml.etree import ElementTree

from multiview_geom.camera_files.place import FilePlace


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


def attributes(place: FilePlace, parent: ElementTree.Element, name: str) -> dict[str, str]:
    """Return the attributes of a child element."""
    child = parent.find(name)
    if child is None:
        raise place.expected(f"an element <{name}>", "none")
    return dict(child.attrib)
