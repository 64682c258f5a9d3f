"""A run's settings as TOML: written whole, read strictly."""

import difflib
import tomllib
import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import tomli_w

Settings = TypeVar("Settings")


def save_settings(path: Path, settings: object) -> None:
    """Write a dataclass of settings; a setting without a value is left out."""
    path.write_text(tomli_w.dumps(as_plain(settings)), encoding="utf-8")


def load_settings(path: Path, kind: type[Settings]) -> Settings:
    """Read a dataclass of settings from TOML.

    Args:
        path: The file; what it does not set keeps its default.
        kind: The dataclass.

    Returns:
        The settings.

    Raises:
        ValueError: If the file is no TOML, or names a setting that does not exist, or gives one
            a value it cannot have.
    """
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{path}: there is no such settings file") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from None
    try:
        return from_plain(plain, kind)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def as_plain(settings: object) -> Any:  # noqa: ANN401 - whatever TOML and JSON can say
    """Return settings as tables, lists, strings and numbers."""
    if is_dataclass(settings):
        plain = {field.name: as_plain(getattr(settings, field.name)) for field in fields(settings)}
        return {name: value for name, value in plain.items() if value is not None}
    if isinstance(settings, Enum):
        return settings.value
    if isinstance(settings, tuple):
        return [as_plain(item) for item in settings]
    return str(settings) if isinstance(settings, Path) else settings


def from_plain(plain: Mapping[str, Any], kind: type[Settings], table: str = "") -> Settings:
    """Build a dataclass of settings from tables, lists, strings and numbers.

    Args:
        plain: What `as_plain` wrote, or part of it.
        kind: The dataclass.
        table: The name of the table that `plain` is, for messages.

    Returns:
        The settings.

    Raises:
        ValueError: If a setting does not exist, or cannot have the value.
    """
    kinds = get_type_hints(kind)
    for name in plain:
        if name not in kinds:
            close = difflib.get_close_matches(name, kinds, n=1)
            hint = f"; did you mean `{table}{close[0]}`?" if close else ""
            raise ValueError(f"unknown setting `{table}{name}`{hint}")
    return kind(**{name: _value(plain[name], kinds[name], table + name) for name in plain})


def _value(plain: object, kind: Any, name: str) -> object:  # noqa: ANN401 - any annotation
    if get_origin(kind) in {Union, types.UnionType}:
        kind = next(option for option in get_args(kind) if option is not type(None))
    if is_dataclass(kind) and isinstance(plain, Mapping):
        return from_plain(plain, kind, name + ".")  # type: ignore[arg-type]
    if get_origin(kind) is tuple and isinstance(plain, list):
        return tuple(_value(item, get_args(kind)[0], name) for item in plain)
    return _plain_value(plain, kind, name)


def _plain_value(plain: object, kind: Any, name: str) -> object:  # noqa: ANN401 - any class
    if issubclass(kind, Enum):
        choices = [option.value for option in kind]
        if plain in choices:
            return kind(plain)
        raise ValueError(f"setting `{name}` must be one of {', '.join(choices)}, got {plain!r}")
    accepted = {float: (int, float), Path: (str,)}.get(kind, (kind,))
    if not isinstance(plain, accepted) or (isinstance(plain, bool) and kind is not bool):
        raise ValueError(f"setting `{name}` must be of type {kind.__name__}, got {plain!r}")
    return kind(plain)
