"""TOML text, parsed in a time and memory that grow with its length."""

import re
import tomllib
from typing import Any

from multiview_geom.camera_files.json_text import without_advice

MOST_KEY_PARTS = 32
"""A dotted key of n parts takes n tables inside each other, and n^2 steps to read."""
_LONG_KEY = re.compile(
    rf"""(?<![\w.-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MOST_KEY_PARTS}}}"""
)
_MERGE_MARK, _AT_LINE = re.compile(r"(?m)^[<>]{7} "), re.compile(r"at line (\d+)")


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML.

    Raises:
        ValueError: If it is not TOML, or its keys have more than 32 parts, or its values are nested
            too deep.
    """
    if _LONG_KEY.search(text):
        raise ValueError(f"a key has more than {MOST_KEY_PARTS} parts")
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("its values are nested too deep") from None
    except ValueError as reason:
        raise ValueError(_with_cause(text, str(reason))) from None


def _with_cause(text: str, reason: str) -> str:
    """Return why a text is no TOML, with the likely cause."""
    if _MERGE_MARK.search(text):
        return f"marks of a merge of git: {reason}"
    found = _AT_LINE.search(reason)
    line = text.splitlines()[int(found[1]) - 1 :][:1] if found else []
    escape = ": \\ begins an escape; write / or \\\\" if "\\" in "".join(line) else ""
    return f"{without_advice(reason)}{escape}"
