"""XML files without document types, so without entities that could grow or read other files."""

from pathlib import Path
from xml.etree import ElementTree

from multiview_geom.camera_files.place import FilePlace


def parse_xml(path: Path, written: str) -> ElementTree.Element:
    """Read a document that declares no type and no entities."""
    if "<!DOCTYPE" in written or "<!ENTITY" in written:
        raise FilePlace(path).expected(
            "XML without a document type", "one, which may hide entities"
        )
    try:
        return ElementTree.fromstring(written)
    except (ElementTree.ParseError, ValueError, RecursionError) as reason:
        raise FilePlace(path).expected("XML", str(reason)) from None


def attributes(place: FilePlace, parent: ElementTree.Element, name: str) -> dict[str, str]:
    """Return the attributes of a child that must be there."""
    child = parent.find(name)
    if child is None:
        raise place.expected(f"an element <{name}>", "none")
    return dict(child.attrib)
