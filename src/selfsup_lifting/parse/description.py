"""The descriptions in JSON that this package's own files have: recordings and 3D tracks."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from multiview_geom.camera_files.json_text import parse_json
from selfsup_lifting.parse.json_values import object_at
from selfsup_lifting.read_errors import Place

# The format of both kinds of files that is written and read.
FORMAT_VERSION = 1
# Names of files and folders may have bytes that are no UTF-8, which Python keeps as halves of
# surrogate pairs; recordings are named by them.
PATHS, NAMED_BY_PATHS = ("path", "calibration"), ("name", "subject", "action")
# How much is shown before and after half a surrogate pair.
SHOWN = 12


def read_description(path: Path, written: object, what: str) -> dict[str, Any]:
    """Return the description of a file that this package wrote.

    Args:
        path: The file.
        written: Its text, or the array with it.
        what: What the file holds, such as "a recording".

    Raises:
        ReadError: If it is no JSON object, is of another format, has half a surrogate pair in a
            name, or says no frame rate or skeleton.
    """
    place = Place(path, "description")
    text = _text_of(place, written)
    try:
        value = parse_json(text)
        json.dumps(value, ensure_ascii=False).encode(errors="surrogateescape")
        json.dumps(_without_paths(value), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        part = error.object[max(0, error.start - SHOWN) : error.end + SHOWN]
        raise place.expected("text, without half a surrogate pair", part) from None
    except (ValueError, RecursionError) as error:
        raise place.damaged("JSON", error) from None
    found = {**object_at(place, value)}
    if (said := found.get("format")) != FORMAT_VERSION:
        newer = isinstance(said, int) and said > FORMAT_VERSION
        cause = "; a newer version of this package wrote it" if newer else ""
        raise Place(path).error(
            f"expected {what} of format {FORMAT_VERSION}, got format {said!r:.60}{cause}"
        )
    fps = found.get("fps")
    if not isinstance(fps, int | float) or isinstance(fps, bool):
        raise place.at("fps").expected("a number", fps)
    object_at(place.at("skeleton"), found.get("skeleton"))
    return found


def _text_of(place: Place, written: object) -> str:
    if isinstance(written, np.ndarray) and written.dtype.kind == "U" and not written.ndim:
        words = written.astype(written.dtype.newbyteorder("<")).tobytes()
        try:  # also NumPy returns words that are no characters
            return words.decode("utf-32-le").rstrip("\0")
        except UnicodeDecodeError as error:
            raise place.damaged("text", error) from None
    if not isinstance(written, str):
        raise place.expected("one text", written)
    return written


def _without_paths(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(value, dict):
        return value
    found = {key: one for key, one in value.items() if key not in NAMED_BY_PATHS}
    if isinstance(source := found.get("source"), dict):
        found["source"] = {key: one for key, one in source.items() if key not in PATHS}
    return found
