"""Save a run's settings as TOML, and load them strictly."""

import difflib
import os
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

import tomli_w

from selfsup_lifting.config import Config
from selfsup_lifting.config_fields import described
from selfsup_lifting.run_files import CONFIG_FILE, read_committed

Settings = TypeVar("Settings")

# Options of `train` that are no settings of a run.
COMMAND_LINE = ("recipe", "preset", "noise_level", "config", "resume", "calibrate", "profile")


def as_toml(settings: object, folder: Path | None = None) -> str:
    """Convert a dataclass of settings to TOML; None values are left out.

    Args:
        settings: The settings.
        folder: The folder of the file. Paths are written relative to it, so that they name no
            folders of a user's above those that both have, and where the run is and that it
            replaced another one are left out; without it, all stays as it is.
    """
    plain = as_plain(settings)
    if folder is not None:
        plain = change_paths(plain, lambda path: _from_folder(path, folder))
        for name in ("run", "overwrite"):
            plain.pop(name, None)
    return tomli_w.dumps(plain)


def change_paths(plain: Mapping[str, Any], change: Callable[[Path], Path]) -> dict[str, Any]:
    """Change every path in the plain settings of a run: of data, cameras and skeletons.

    Args:
        plain: The output of `as_plain`.
        change: Returns the new path.

    Returns:
        The settings with other paths.

    Example:
        >>> settings = {"data": ["synthetic", "human36m:/home/me/h36m"]}
        >>> change_paths(settings, lambda path: Path(path.name))
        {'data': ['synthetic', 'human36m:h36m']}
    """
    changed = dict(plain)
    if isinstance(plain.get("data"), list):
        changed["data"] = [_changed_source(source, change) for source in plain["data"]]
    read = plain.get("read")
    if isinstance(read, Mapping):
        changed["read"] = {name: _changed_file(name, one, change) for name, one in read.items()}
    return changed


def _changed_source(source: object, change: Callable[[Path], Path]) -> object:
    """Change the path of a source of data, which may be written `kind:path`."""
    if not isinstance(source, str) or source == "synthetic":
        return source
    kind, colon, path = source.partition(":")
    if colon and kind.isidentifier() and len(kind) > 1:  # one letter is a drive of Windows
        return f"{kind}:{change(Path(path))}"
    return str(change(Path(source)))


def _changed_file(setting: str, value: object, change: Callable[[Path], Path]) -> object:
    """Change the path of a calibration or of a skeleton's file, if this is such a setting."""
    is_file = isinstance(value, str) and value.endswith(".toml")
    named = setting == "cameras" or (setting in {"skeleton", "detected_skeleton"} and is_file)
    return str(change(Path(value))) if named and isinstance(value, str) else value


def _from_folder(path: Path, folder: Path) -> Path:
    """Return a path relative to a folder; on another drive of Windows, only its name."""
    try:
        return Path(os.path.relpath(os.path.realpath(path), os.path.realpath(folder)))
    except ValueError:
        return Path(path.name)


def _in_folder(path: Path, folder: Path) -> Path:
    """Return where a path relative to a folder is, relative to the working folder if below it."""
    found = Path(os.path.realpath(folder / path))  # also where links lead in a circle
    return found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found


def load_settings(path: Path, defaults: Settings) -> Settings:
    """Read settings from TOML; paths are relative to the folder of the file.

    Args:
        path: The file.
        defaults: The values of all settings that the file does not set.

    Returns:
        The settings.

    Raises:
        ValueError: If the file is not TOML, or a setting does not exist or cannot have its value.
    """
    if not path.exists():
        raise ValueError(f"{path}: there is no such settings file")
    if not (path.is_file() or path.is_dir()):
        raise ValueError(f"{path}: expected a settings file, got a pipe or a device")
    content = path.read_bytes()
    return _from_toml(content, defaults, path)


def load_config(run: Path) -> Config:
    """Load the settings that a run was trained with.

    Args:
        run: The run folder.

    Returns:
        The settings.

    Raises:
        ValueError: If the folder has no checkpoint, or its settings file is damaged.
    """
    return _from_toml(read_committed(run, CONFIG_FILE), Config(), run / CONFIG_FILE)


def _from_toml(content: bytes, defaults: Settings, path: Path) -> Settings:
    """Parse settings; the errors name the file."""
    from multiview_geom.camera_files.toml_text import parse_toml  # imports torch
    from selfsup_lifting.parse.text import UTF_16_MARKS

    try:
        is_utf_16 = content[:2] in UTF_16_MARKS  # as PowerShell writes
        plain = parse_toml(content.decode("utf-16" if is_utf_16 else "utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a TOML file: it is no text in UTF-8") from None
    except ValueError as error:
        raise ValueError(f"{path}: not a TOML file: {error}") from None
    try:
        plain = change_paths(plain, lambda one: _in_folder(one, path.parent))
        return from_plain(plain, defaults)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def as_plain(settings: object) -> Any:  # noqa: ANN401 - whatever TOML and JSON can say
    """Convert settings to tables, lists, strings and numbers; None values are left out."""
    if is_dataclass(settings):
        values = {one.name: getattr(settings, one.name) for one in fields(settings)}
        return {name: as_plain(value) for name, value in values.items() if value is not None}
    if isinstance(settings, Enum):
        return settings.value
    if isinstance(settings, tuple):
        return [as_plain(item) for item in settings]
    return str(settings) if isinstance(settings, Path) else settings


def from_plain(plain: Mapping[str, Any], defaults: Settings, table: str = "") -> Settings:
    """Convert tables, lists, strings and numbers to settings.

    Args:
        plain: The output of `as_plain`, or part of it.
        defaults: A dataclass of settings: the values of all settings that `plain` does not have.
        table: The name of the table, for messages.

    Returns:
        The settings.

    Raises:
        ValueError: If a setting does not exist, or cannot have the value.
    """
    kinds = get_type_hints(type(defaults))
    for name in plain:
        if name not in kinds:
            raise ValueError(f"unknown setting `{table}{name}`{_hint(name, defaults, table)}")
    changed = {
        name: _parsed(value, kinds[name], getattr(defaults, name), table + name)
        for name, value in plain.items()
    }
    return replace(defaults, **changed)  # type: ignore[type-var]


def _hint(name: str, defaults: object, table: str) -> str:
    """Return what may be meant by a setting that does not exist; empty if nothing is like it."""
    if name in COMMAND_LINE and not table:
        return f"; `--{name.replace('_', '-')}` is given on the command line alone"
    same = name.replace("-", "_").replace(".", "_")
    for full in setting_names(defaults):
        place, _, last = full.rpartition(".")
        if place and full.replace(".", "_") == same:
            return f"; did you mean `{last}` in the table [{table}{place}]?"
    close = difflib.get_close_matches(name, [one.name for one in fields(defaults)], n=1)  # type: ignore[arg-type]
    return f"; did you mean `{table}{close[0]}`?" if close else ""


class SettingRow(NamedTuple):
    """A setting: its name with its tables, its value, its default, and the source of that."""

    name: str
    value: str
    default: str
    source: str


def setting_rows(settings: object, table: str = "") -> Iterator[SettingRow]:
    """Describe every setting.

    Args:
        settings: A dataclass of settings.
        table: The name of its table, with a dot at the end.

    Yields:
        A row for each setting, with those of nested tables.
    """
    default = type(settings)()
    for one in fields(settings):  # type: ignore[arg-type]
        value, name = getattr(settings, one.name), f"{table}{one.name}"
        if is_dataclass(value):
            yield from setting_rows(value, f"{name}.")
        else:
            usual = str(as_plain(getattr(default, one.name)))
            yield SettingRow(name, str(as_plain(value)), usual, one.metadata.get("source", ""))


def setting_values(settings: object) -> dict[str, str]:
    """Return the value of every setting as text, by the name with its tables."""
    return {row.name: row.value for row in setting_rows(settings)}


def setting_names(settings: object, table: str = "") -> Iterator[str]:
    """Yield the name of every setting, with the tables that it is in."""
    for one in fields(settings):  # type: ignore[arg-type]
        value, name = getattr(settings, one.name), f"{table}{one.name}"
        if is_dataclass(value):
            yield from setting_names(value, f"{name}.")
        else:
            yield name


def _parsed(plain: object, kind: Any, default: object, name: str) -> object:  # noqa: ANN401
    """Convert one plain value to the annotated type of its setting."""
    kind = _without_none(kind)
    if is_dataclass(kind):
        if not isinstance(plain, Mapping):
            raise ValueError(f"setting `{name}` must be a table of settings, got {plain!r}")
        return from_plain(plain, default, name + ".")
    if get_origin(kind) is tuple:
        if not isinstance(plain, list):
            raise ValueError(f"setting `{name}` must be a list, got {plain!r}")
        return tuple(_parsed_scalar(item, get_args(kind)[0], name) for item in plain)
    if issubclass(kind, Enum):
        return _parsed_choice(plain, kind, name)
    return _parsed_scalar(plain, kind, name)


def _without_none(kind: Any) -> Any:  # noqa: ANN401 - any annotation
    if get_origin(kind) not in {Union, types.UnionType}:
        return kind
    return next(option for option in get_args(kind) if option is not type(None))


def _parsed_choice(plain: object, kind: type[Enum], name: str) -> Enum:
    choices = [option.value for option in kind]
    if plain not in choices:
        raise ValueError(f"setting `{name}` must be one of {', '.join(choices)}, got {plain!r}")
    return kind(plain)


def _parsed_scalar(plain: object, kind: Any, name: str) -> object:  # noqa: ANN401 - any class
    accepted = {float: (int, float), Path: (str,)}.get(kind, (kind,))
    if not isinstance(plain, accepted) or (isinstance(plain, bool) and kind is not bool):
        raise ValueError(f"setting `{name}` must be {described(kind)}, got {plain!r}")
    try:
        return kind(plain)
    except OverflowError:
        raise ValueError(f"setting `{name}` is too large a number for {kind.__name__}") from None
