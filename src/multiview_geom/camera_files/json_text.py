"""JSON text, in which every key of an object must differ."""

import json
from collections.abc import Sequence
from json import JSONDecodeError
from typing import Any


def parse_json(text: str) -> Any:  # noqa: ANN401 - any JSON value
    """Parse JSON.

    Raises:
        ValueError: If it is not JSON, its values are nested too deep, or an object has a key twice,
            of which other programs keep the last.

    Example:
        >>> parse_json('{"f": [1.5, null]}')
        {'f': [1.5, None]}
    """
    try:
        return json.loads(text, object_pairs_hook=_distinct_keys)
    except RecursionError:
        raise ValueError("its values are nested too deep") from None
    except JSONDecodeError as error:
        odd = text[error.pos : error.pos + 1]
        if odd.isascii():
            raise
        raise ValueError(
            f"line {error.lineno} column {error.colno}: {odd!r} (U+{ord(odd):04X}), as word "
            "processors write"
        ) from None
    except ValueError as error:
        raise ValueError(without_advice(str(error))) from None


def without_advice(reason: str) -> str:
    """Return why a text was refused, without Python's advice to raise its limit of digits."""
    is_long = "integer string conversion" in reason
    return "one of its numbers has thousands of digits" if is_long else reason


def _distinct_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} appears twice")
    return content
