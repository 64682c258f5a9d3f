"""TOML text, parsed in a time and memory that grow with its length."""

import re
import tomllib
from typing import Any

MOST_KEY_PARTS = 32
"""A dotted key of n parts takes n tables inside each other, and n^2 steps to read."""
_LONG_KEY = re.compile(
    rf"""(?<![\w.-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MOST_KEY_PARTS}}}"""
)


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
