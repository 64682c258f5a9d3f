"""Which file belongs to which camera of the calibration."""

import re
from collections.abc import Sequence
from pathlib import Path

from selfsup_lifting.recording import ReadError

# What the files of one camera are called besides the camera, for calibrations that call their
# cameras A, B, C or 1, 2, 3.
_PREFIXES = ("", "cam", "camera", "view")


def match_cameras(
    names: Sequence[str], files: Sequence[str], pattern: str | None = None
) -> list[tuple[str, str] | None]:
    """Find for every file the camera it is named after.

    Punctuation, case and leading zeros are ignored: `cam01_json` is of the camera `cam_1`, and
    `trial2-camA` is of the camera `A`, the rest of its name being `trial 2`.

    Args:
        names: What the calibration calls its cameras.
        files: What the files are called, without suffix.
        pattern: A regular expression whose first group is the camera, as anipose has one.

    Returns:
        For every file its camera and the rest of its name; None where no camera fits, or two do.
    """
    return [_matched(names, file, pattern) for file in files]


def require_same_cameras(
    calibration: Path,
    names: Sequence[str],
    place: Path,
    matched: Sequence[str],
    lost: Sequence[str],
    *,
    unread: Sequence[str] = (),
) -> None:
    """Refuse detections and calibration that do not tell of the same cameras.

    Args:
        calibration: The calibration file.
        names: Its cameras.
        place: Where the detections lie.
        matched: The cameras that detections were found for.
        lost: The detections that no camera was found for.
        unread: What may be detections, but is in no known layout.

    Raises:
        ReadError: If either side has more than the other; the sentence lists both.
    """
    lacking = [name for name in names if name not in matched]
    twice = sorted({name for name in matched if list(matched).count(name) > 1})
    if lacking or lost or twice:
        raise ReadError(
            f"{calibration} and {place} do not name the same cameras: "
            f"without detections: {', '.join(lacking) or 'none'}; "
            f"without calibration: {', '.join(lost) or 'none'}"
            + (f"; with several detections: {', '.join(twice)}" if twice else "")
            + "".join(f"; {name} lies there but is in no known layout" for name in unread)
        )


def _matched(names: Sequence[str], file: str, pattern: str | None) -> tuple[str, str] | None:
    if pattern is not None:
        found = re.search(pattern, file)
        if found and found.groups() and found[1].strip() in names:
            return found[1].strip(), " ".join(_words(file[: found.start()] + file[found.end() :]))
    words = _words(file)
    fits = {
        (name, rest)
        for name in names
        for prefix in _PREFIXES
        for part in (_words(prefix + name), _words(prefix) + _words(name))
        for rest in [_without(words, part)]
        if rest is not None
    }
    shortest = min((len(rest.split()) for _, rest in fits), default=0)
    best = sorted((name, rest) for name, rest in fits if len(rest.split()) == shortest)
    return best[0] if len({name for name, _ in best}) == 1 else None


def _words(name: str) -> list[str]:
    """Split `Cam-01` into `cam` and `1`."""
    words = re.findall(r"[a-z]+|\d+", name.lower())
    return [word.lstrip("0") or "0" if word.isdigit() else word for word in words]


def _without(words: list[str], part: list[str]) -> str | None:
    """Return the words around a part, or None where the part is not there."""
    for start in range(len(words) - len(part) + 1):
        if part and words[start : start + len(part)] == part:
            return " ".join(words[:start] + words[start + len(part) :])
    return None
