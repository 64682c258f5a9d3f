"""The camera of a calibration that the name of a file means."""

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import SequenceMatcher
from unicodedata import normalize

from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.safe_text import spelled_as

# Words that a file may put before the name of its camera, for cameras named A, B or 1, 2.
_PREFIXES = ("cam", "camera", "view")
# A shorter word is no name of a camera by itself if the camera has more words.
SHORTEST_WORD = 3
# The end of a picture's name, which COLMAP uses as the name of a camera.
_PICTURE = re.compile(r"(?i)\.(png|jpe?g|bmp|tiff?|webp|mp4|avi|mov)$")


def match_camera(
    names: Sequence[str],
    file: str,
    pattern: str | None = None,
    declared: Mapping[str, str] | None = None,
) -> tuple[str, str] | None:
    """Find the camera in the name of a file.

    Punctuation, case, leading zeros and the end of a picture's name are ignored: `cam01_json`
    matches the camera `cam_1` or `cam1.png`, and `trial2-camA` matches the camera `A` with the
    remaining words `trial 2`. Words that all cameras have in common may be missing in the file:
    `cam01_json` also matches `int_cam01_img` of a calibration with `int_cam02_img`.

    Args:
        names: The cameras of the calibration.
        file: The name of the file, without suffix.
        pattern: A regular expression whose first group is the camera, as in anipose's `cam_regex`.
        declared: The camera of some files, by the user; they match no other camera.

    Returns:
        The camera and the remaining words; None if no camera matches, or several.
    """
    declared = declared or {}
    if file in declared:
        return declared[file], ""
    names = [name for name in names if name not in declared.values()]
    if file in names:  # also one without a word, such as an emoji
        return file, ""
    return _by_pattern(names, file, pattern) or _by_words(names, file)


def _by_pattern(names: Sequence[str], file: str, pattern: str | None) -> tuple[str, str] | None:
    found = None if pattern is None else re.search(pattern, file)
    if not found or not found.groups() or found[1].strip() not in names:
        return None
    return found[1].strip(), " ".join(words_of(file[: found.start()] + file[found.end() :]))


def _by_words(names: Sequence[str], file: str) -> tuple[str, str] | None:
    words, common = words_of(file), _common_words(names)
    fits = sorted((len(rest), name, rest) for name in names for rest in _rests(words, name, common))
    best = {name for count, name, _ in fits if count == fits[0][0]}
    return (fits[0][1], " ".join(fits[0][2])) if len(best) == 1 else None


def without_own_numbers(parts: Sequence[tuple[str, str]]) -> list[str]:
    """Return the words beside each camera without the numbers that all its files have.

    Args:
        parts: The camera of each file, and the other words of its name.

    Example:
        >>> without_own_numbers([("24025", "walk miqus 1"), ("24025", "run miqus 1")])
        ['walk miqus', 'run miqus']
    """
    own: dict[str, set[str]] = {}
    for camera, rest in parts:
        numbers = {word for word in rest.split() if word.isdigit()}
        own[camera] = own.get(camera, numbers) & numbers
    return [
        " ".join(word for word in rest.split() if word not in own[camera]) for camera, rest in parts
    ]


def declared_cameras(pairs: Sequence[str], names: Sequence[str]) -> dict[str, str]:
    """Parse the pairs camera=file of `--map`: the camera of each file.

    Raises:
        ReadError: If a pair has another form, or names a camera that the calibration lacks, or if
            two pairs name the same file for two cameras.
    """
    cameras: dict[str, str] = {}
    if pairs and not names:
        raise ReadError(
            "`map` pairs files with the cameras of a calibration, but none was found: --cameras "
            "names one"
        )
    for pair in pairs:
        camera, equals, file = pair.partition("=")
        camera = spelled_as(camera, names)
        if not (equals and file) or camera not in names:
            raise ReadError(
                f"`map` must be camera=file with a camera of {', '.join(names)}, got {pair!r}"
            )
        if cameras.get(file, camera) != camera:
            raise ReadError(
                f"`map` must pair a file with one camera, got {file} with {cameras[file]} and "
                f"with {camera}"
            )
        cameras[file] = camera
    return cameras


def best_guesses(cameras: Sequence[str], files: Sequence[str]) -> list[tuple[str, str]]:
    """Pair cameras and files whose names are most alike; both keep their order among equals."""
    likeness = sorted(
        (-SequenceMatcher(None, camera.lower(), file.lower()).ratio(), abs(one - two), one, two)
        for one, camera in enumerate(cameras)
        for two, file in enumerate(files)
    )
    taken_cameras: set[int] = set()
    taken_files: set[int] = set()
    guesses = []
    for _, _, one, two in likeness:
        if one not in taken_cameras and two not in taken_files:
            taken_cameras.add(one)
            taken_files.add(two)
            guesses.append((cameras[one], files[two]))
    return sorted(guesses)


def _rests(words: list[str], name: str, common: set[str]) -> Iterator[list[str]]:
    """Yield the words around the name of a camera, with every prefix that matches."""
    own = [word for word in words_of(name) if word not in common]
    parts = [words_of(name), *_prefixed(_PICTURE.sub("", name)), *_prefixed(" ".join(own))]
    # A short word alone, such as the 1 of `cam 1`, may be anything: `trial 1` is no camera.
    if own == words or any(len(word) >= SHORTEST_WORD for word in own):
        parts.append(own)
    for part in parts:
        rest = _without(words, part)
        if rest is not None:
            yield rest


def _prefixed(name: str) -> Iterator[list[str]]:
    for prefix in _PREFIXES:
        yield words_of(f"{prefix} {name}")
        yield words_of(f"{prefix}{name}")


def _common_words(names: Sequence[str]) -> set[str]:
    """Return the words that all of several cameras have in common."""
    if len(names) < 2:  # noqa: PLR2004 - one camera shares its words with no other
        return set()
    return set.intersection(*(set(words_of(name)) for name in names))


def words_of(name: str) -> list[str]:
    """Split `Cam-01.png` into `cam` and `1`; a letter with its mark, as a Mac writes, is one."""
    words = re.findall(r"[^\W\d_]+|\d+", normalize("NFC", _PICTURE.sub("", name)).lower())
    return [word.lstrip("0") or "0" if word.isdigit() else word for word in words]


def _without(words: list[str], part: list[str]) -> list[str] | None:
    """Return the words around a part; None if they do not contain it."""
    for start in range(len(words) - len(part) + 1):
        if part and words[start : start + len(part)] == part:
            return words[:start] + words[start + len(part) :]
    return None
