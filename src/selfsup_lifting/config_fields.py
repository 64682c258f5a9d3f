"""One setting: its default, meaning, unit, source and bounds, declared in one place."""

from collections.abc import Callable, Iterator
from dataclasses import field, fields
from enum import Enum
from inspect import getdoc
from numbers import Number
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

Value = TypeVar("Value")
Class = TypeVar("Class", bound=type)

# Torch stores integers in 64 bits, one of them the sign.
LARGEST = 2**63 - 1


def setting(
    default: Value, meaning: str, source: str = "", *, unit: str = "", **bounds: float | int
) -> Value:
    """Define one setting of a dataclass.

    Args:
        default: Its default value.
        meaning: What it controls; the shell's help shows it.
        source: Where the default comes from: the paper, the authors' code or us.
        unit: The unit of its value.
        bounds: `least` and `most` (inclusive), `above` and `below` (exclusive).

    Returns:
        A dataclass field, typed as its value. Its metadata holds the arguments, and under "help"
        the whole sentence.
    """
    help_text = meaning + (f" [{unit}]" if unit else "") + (f" ({source})" if source else "")
    metadata = {"help": help_text, "unit": unit, "source": source, "bounds": bounds}
    return field(default=default, metadata=metadata)


def group(kind: Callable[[], Value], meaning: str, *, prefix: bool = True) -> Value:
    """Define a nested group of settings, given the dataclass of the group and its meaning.

    With `prefix`, the options of the shell carry the name of the group, as `--lifter.width`.
    """
    return field(default_factory=kind, metadata={"help": meaning, "prefix": prefix})


def require_bounds(
    name: str,
    value: float | int,
    *,
    above: float | int | None = None,
    least: float | int = -LARGEST,
    most: float | int = LARGEST,
    below: float | int | None = None,
) -> None:
    """Raise a ValueError that names the setting if its value is no number, or out of bounds."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number:
        raise ValueError(f"setting `{name}` must be a number, got {value!r}")
    if above is not None and not value > above:
        raise ValueError(f"setting `{name}` must be above {above}, got {value}")
    if below is not None and not value < below:
        raise ValueError(f"setting `{name}` must be below {below}, got {value}")
    if not value >= least:
        raise ValueError(f"setting `{name}` must be at least {least}, got {value}")
    if not value <= most:
        raise ValueError(f"setting `{name}` must be at most {most}, got {value}")


def differing(one: Any, other: Any) -> Iterator[str]:  # noqa: ANN401 - two dataclasses
    """Yield the names of the fields in which two dataclasses of one kind differ."""
    names = (field.name for field in fields(one))
    return (name for name in names if getattr(one, name) != getattr(other, name))


class Bounded:
    """Check the bounds and the kind of every setting when the dataclass is built."""

    def __post_init__(self) -> None:
        hints = get_type_hints(type(self))
        for one in fields(self):  # type: ignore[arg-type]
            value, bounds = getattr(self, one.name), one.metadata.get("bounds")
            if isinstance(value, Number) and hasattr(value, "item"):  # one of NumPy
                value = value.item()
                object.__setattr__(self, one.name, value)
            if bounds and value is not None:
                require_bounds(one.name, value, **bounds)
            _require_kind(one.name, value, hints[one.name])


def _require_kind(name: str, value: object, hint: Any) -> None:  # noqa: ANN401 - any annotation
    """Refuse a value that is of none of the kinds that the annotation of a setting names."""
    kinds = get_args(hint) if isinstance(hint, UnionType) else (hint,)
    if not any(_is_of(value, kind) for kind in kinds):
        raise ValueError(f"setting `{name}` must be {described(kinds[0])}, got {value!r}")


def _is_of(value: object, kind: Any) -> bool:  # noqa: ANN401 - any annotation
    if get_origin(kind) is tuple:
        return isinstance(value, tuple | list) and all(isinstance(one, str | Path) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, {float: (float, int), Path: (Path, str)}.get(kind, kind))


def described(kind: Any) -> str:  # noqa: ANN401 - any annotation
    """Return what a setting of a kind must be, in words."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return f"one of {', '.join(map(str, kind))}"
    words = {bool: "True or False", int: "a whole number", float: "a number", str: "a text"}
    return words.get(kind, "a sequence of texts" if get_origin(kind) is tuple else kind.__name__)


def documented(cls: Class) -> Class:
    """List the settings in the class docstring, for `help()` and the API page."""
    lines = [f"    {one.name}: {one.metadata['help']}" for one in fields(cls)]
    cls.__doc__ = "\n".join([f"{getdoc(cls)}", "", "Attributes:", *lines])
    return cls
