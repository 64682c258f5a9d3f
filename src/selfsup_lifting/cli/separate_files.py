"""The files that a command writes are no files that it reads: one gate for all commands."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from selfsup_lifting.cli.options import CalibrateOptions, Options

# The options that name files to write, and those that name files or folders to read.
WRITTEN = ("out", "report", "picture", "onnx", "web")
READ = ("path", "paths", "keypoints", "data", "video", "videos", "config", "model")
MOTION_CAPTURE = ".bvh"


def require_separate(options: Options) -> None:
    """Refuse a file that is written twice, or that would replace or change what is read.

    Raises:
        FileExistsError: If a file to write is one that the command reads.
        ValueError: If two options name one file to write, or a BVH file is written to a folder of
            data, which would be read as motion capture from then on.
    """
    places: dict[Path, str] = {}
    read = {path.resolve(): path for path in _read_by(options) if path.exists()}
    runs = _named(getattr(options, "settings", None), ("run",))
    for name, path in (*_named(options, WRITTEN), *runs):
        place = path.resolve()
        if place in places:
            one = places[place] == name
            both = f"`{name}` names" if one else f"`{places[place]}` and `{name}` name"
            raise ValueError(f"{both} {path} twice: one of the two would be lost")
        places[place] = name
        if place in read:
            raise FileExistsError(
                f"{path} is read by this command, and is not replaced: name another place for "
                f"`{name}`"
            )
        if place.parent in read and path.suffix == MOTION_CAPTURE:
            raise ValueError(
                f"{path}: {read[place.parent]} would be read as motion capture from then on, "
                "because of a BVH file in it; name another folder"
            )


def _named(owner: object, names: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Yield the paths of options that one object has."""
    for name in names:
        value: Any = getattr(owner, name, None)
        for one in value if isinstance(value, tuple) else (value,):
            if one is not None:
                yield name, Path(one)


def _read_by(options: Options) -> Iterator[Path]:
    """Yield what a command reads; a calibration that is repaired may replace the given one."""
    settings = getattr(options, "settings", options)
    for _, path in (*_named(options, READ), *_named(settings, READ)):
        yield path
        kind, _, rest = str(path).partition(":")
        if rest and kind.isidentifier():
            yield Path(rest)
    if not isinstance(options, CalibrateOptions):
        yield from (path for _, path in _named(getattr(settings, "read", None), ("cameras",)))
