"""The camera of a calibration that the name of a file means."""

import re
from collections.abc import Sequence

# Words that a file may put before the name of its camera, for cameras named A, B or 1, 2.
_PREFIXES = ("", "cam", "camera", "view")


def match_camera(
    names: Sequence[str], file: str, pattern: str | None = None
) -> tuple[str, str] | None:
    """Find the camera in the name of a file.

    Punctuation, case and leading zeros are ignored: `cam01_json` matches the camera `cam_1`, and
    `trial2-camA` matches the camera `A` with the remaining words `trial 2`.

    Args:
        names: The cameras of the calibration.
        file: The name of the file, without suffix.
        pattern: A regular expression whose first group is the camera, as in anipose's `cam_regex`.

    Returns:
        The camera and the remaining words; None if no camera matches, or several.
    """
    found = None if pattern is None else re.search(pattern, file)
    if found and found.groups() and found[1].strip() in names:
        return found[1].strip(), " ".join(_words(file[: found.start()] + file[found.end() :]))
    words = _words(file)
    fits = sorted((len(rest), name, rest) for name in names for rest in _rests(words, name))
    best = {name for count, name, _ in fits if count == fits[0][0]}
    return (fits[0][1], " ".join(fits[0][2])) if len(best) == 1 else None


def _rests(words: list[str], name: str) -> list[list[str]]:
    """Return the words around the name of a camera, with every prefix that matches."""
    parts = [_words(prefix + gap + name) for gap in (" ", "") for prefix in _PREFIXES]
    return [rest for part in parts if (rest := _without(words, part)) is not None]


def _words(name: str) -> list[str]:
    """Split `Cam-01` into `cam` and `1`."""
    words = re.findall(r"[a-z]+|\d+", name.lower())
    return [word.lstrip("0") or "0" if word.isdigit() else word for word in words]


def _without(words: list[str], part: list[str]) -> list[str] | None:
    """Return the words around a part; None if they do not contain it."""
    for start in range(len(words) - len(part) + 1):
        if part and words[start : start + len(part)] == part:
            return words[:start] + words[start + len(part) :]
    return None
