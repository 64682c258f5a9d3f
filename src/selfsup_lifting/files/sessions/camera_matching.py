"""Matching files to the cameras of a calibration by their names."""

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from selfsup_lifting.read_errors import ReadError

# Words that a file may put before the name of its camera, for cameras named A, B or 1, 2.
_PREFIXES = ("", "cam", "camera", "view")


def match_cameras(
    names: Sequence[str], files: Sequence[str], pattern: str | None = None
) -> list[tuple[str, str] | None]:
    """Find the camera in the name of every file.

    Punctuation, case and leading zeros are ignored: `cam01_json` matches the camera `cam_1`, and
    `trial2-camA` matches the camera `A` with the remaining words `trial 2`.

    Args:
        names: The cameras of the calibration.
        files: The names of the files, without suffix.
        pattern: A regular expression whose first group is the camera, as in anipose's `cam_regex`.

    Returns:
        The camera and the remaining words of every file; None if no camera matches, or several.
    """
    return [_matched(names, file, pattern) for file in files]


def require_same_cameras(
    calibration: Path,
    names: Sequence[str],
    folder: Path,
    matched: Sequence[str],
    unmatched: Sequence[str],
    *,
    unrecognized: Sequence[str] = (),
) -> None:
    """Refuse detections and a calibration with different cameras.

    Args:
        calibration: The calibration file.
        names: Its cameras.
        folder: The folder of the detections.
        matched: The camera of every file of detections that matches one.
        unmatched: The files of detections that match no camera.
        unrecognized: Files in no known format whose names match a camera without detections.

    Raises:
        ReadError: If a camera lacks detections, or detections a camera; the message lists them.
    """
    lacking = ", ".join(name for name in names if name not in matched)
    twice = ", ".join(sorted(name for name, times in Counter(matched).items() if times > 1))
    if not (lacking or unmatched or twice):
        return
    parts = [
        f"without detections: {lacking or 'none'}",
        f"without calibration: {', '.join(unmatched) or 'none'}",
    ]
    parts += [f"with several detections: {twice}"] if twice else []
    parts += [f"{name} is in no known format" for name in unrecognized]
    raise ReadError(f"{calibration} and {folder} have different cameras: {'; '.join(parts)}")


def _matched(names: Sequence[str], file: str, pattern: str | None) -> tuple[str, str] | None:
    found = None if pattern is None else re.search(pattern, file)
    if found and found.groups() and found[1].strip() in names:
        return found[1].strip(), " ".join(_words(file[: found.start()] + file[found.end() :]))
    fits = [(name, rest) for name in names for rest in _rests(_words(file), name)]
    shortest = min((len(rest.split()) for _, rest in fits), default=0)
    best = sorted(fit for fit in fits if len(fit[1].split()) == shortest)
    return best[0] if len({name for name, _ in best}) == 1 else None


def _rests(words: list[str], name: str) -> list[str]:
    """Return the words around the name of a camera, with every prefix that matches."""
    parts = [[*_words(prefix), *_words(name)] for prefix in _PREFIXES]
    parts += [_words(prefix + name) for prefix in _PREFIXES]
    return [rest for part in parts if (rest := _without(words, part)) is not None]


def _words(name: str) -> list[str]:
    """Split `Cam-01` into `cam` and `1`."""
    words = re.findall(r"[a-z]+|\d+", name.lower())
    return [word.lstrip("0") or "0" if word.isdigit() else word for word in words]


def _without(words: list[str], part: list[str]) -> str | None:
    """Return the words around a part; None if they do not contain it."""
    for start in range(len(words) - len(part) + 1):
        if part and words[start : start + len(part)] == part:
            return " ".join(words[:start] + words[start + len(part) :])
    return None
