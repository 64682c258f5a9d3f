"""Skeletons by their name, or from a TOML file."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from multiview_geom.camera_files.toml_text import parse_toml
from selfsup_lifting.parse.text import read_text
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton, mirrored_by_name


def find_skeleton(name: str) -> Skeleton:
    """Return a built-in skeleton, or read the one in a TOML file.

    Args:
        name: A name in `SKELETONS`, or the path of a `.toml` file for `load_skeleton`.

    Returns:
        The skeleton.

    Raises:
        ValueError: If the name is neither.
    """
    if name in SKELETONS:
        return SKELETONS[name]
    if name.endswith(".toml"):
        return load_skeleton(Path(name))
    raise ValueError(
        f"no skeleton is called {name!r}; known are {', '.join(SKELETONS)}, or a .toml file"
    )


def load_skeleton(path: Path) -> Skeleton:
    """Read a skeleton from a TOML file.

    The file contains `joints` in the order of the data, `bones` as pairs of names, parent first,
    and `root` as the names of the joints whose mean is the root. The optional `mirrored` contains
    pairs of names, left first; by default every `left_x` is paired with its `right_x`. The
    optional `name` is the name of the file by default.

    Args:
        path: The TOML file.

    Returns:
        The skeleton.

    Raises:
        ValueError: If the file is not TOML, or a key or a joint is unknown or missing.
    """
    if not path.is_file():
        raise ValueError(f"there is no skeleton file {path}")
    text = read_text(path)
    try:
        plain = parse_toml(text)
        return _skeleton_from_toml(plain, path.stem)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"skeleton file {path}: {error}") from error


def _skeleton_from_toml(plain: Mapping[str, Any], name: str) -> Skeleton:
    _require_keys(plain)
    joints = tuple(plain["joints"])
    parents = dict.fromkeys(range(len(joints)), -1)
    _require_one_parent(plain["bones"])
    for parent, child in plain["bones"]:
        parents[_index(joints, child)] = _index(joints, parent)
    mirrored = mirrored_by_name(joints)
    if plain.get("mirrored") is not None:
        pairs = plain["mirrored"]
        _require_left_first(pairs, {(joints[left], joints[right]) for left, right in mirrored})
        mirrored = tuple((_index(joints, left), _index(joints, right)) for left, right in pairs)
    root = tuple(_index(joints, joint) for joint in plain["root"])
    return Skeleton(str(plain.get("name", name)), joints, tuple(parents.values()), mirrored, root)


def _require_one_parent(bones: Sequence[Sequence[str]]) -> None:
    parents: dict[str, list[str]] = {}
    for parent, child in bones:
        parents.setdefault(child, []).append(parent)
    for child, several in parents.items():
        if len({*several}) < len(several):
            raise ValueError(f"`bones` must have each bone once, got {several[0]} to {child} again")
        if len(several) > 1:
            raise ValueError(
                f"`bones` must give each joint one parent, the parent first, got {child} after "
                f"{' and '.join(several)}"
            )


def _require_left_first(
    pairs: Sequence[Sequence[str]], by_name: Collection[tuple[str, str]]
) -> None:
    for first, second in pairs:
        if (second, first) in by_name:
            raise ValueError(
                f"`mirrored` must name the left joint of each pair first, got {first}, {second}"
            )


def _require_keys(plain: Mapping[str, Any]) -> None:
    needed = {"joints", "bones", "root"}
    wrong = sorted(f"unknown key {key}" for key in set(plain) - needed - {"name", "mirrored"})
    wrong += sorted(f"missing key {key}" for key in needed - set(plain))
    if wrong:
        raise ValueError(", ".join(wrong))
    _require_list("joints", plain["joints"], "names", _is_name)
    _require_list("root", plain["root"], "names", _is_name)
    _require_list("bones", plain["bones"] or [], "pairs of names", _is_pair)
    _require_list("mirrored", plain.get("mirrored") or [], "pairs of names", _is_pair)
    if not all(joint.strip() for joint in plain["joints"]):
        raise ValueError("`joints` must name every joint, got a blank name")
    twice = sorted(joint for joint, times in Counter(plain["joints"]).items() if times > 1)
    if twice:
        raise ValueError(f"`joints` must name each joint once, got {', '.join(twice)} twice")


def _require_list(key: str, value: object, of: str, fits: Callable[[object], bool]) -> None:
    if not isinstance(value, list) or not all(map(fits, value)):
        raise ValueError(f"`{key}` must be a list of {of}, got {value!r}")


def _is_name(value: object) -> bool:
    return isinstance(value, str)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2  # noqa: PLR2004 - a pair


def _index(joints: tuple[str, ...], joint: str) -> int:
    if joint not in joints:
        raise ValueError(f"{joint!r} is none of the joints {', '.join(joints)}")
    return joints.index(joint)
