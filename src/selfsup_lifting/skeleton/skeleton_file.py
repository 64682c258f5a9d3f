"""Skeletons by their name, or from a TOML file."""

import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

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
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        return _skeleton_from_toml(plain, path.stem)
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"skeleton file {path}: {error}") from error


def _skeleton_from_toml(plain: Mapping[str, Any], name: str) -> Skeleton:
    _require_keys(plain)
    joints = tuple(plain["joints"])
    parents = dict.fromkeys(range(len(joints)), -1)
    for parent, child in plain["bones"]:
        parents[_index(joints, child)] = _index(joints, parent)
    pairs = plain.get("mirrored")
    return Skeleton(
        name=str(plain.get("name", name)),
        joints=joints,
        parents=tuple(parents.values()),
        mirrored=mirrored_by_name(joints)
        if pairs is None
        else tuple((_index(joints, left), _index(joints, right)) for left, right in pairs),
        root=tuple(_index(joints, joint) for joint in plain["root"]),
    )


def _require_keys(plain: Mapping[str, Any]) -> None:
    needed = {"joints", "bones", "root"}
    wrong = sorted(f"unknown key {key}" for key in set(plain) - needed - {"name", "mirrored"})
    wrong += sorted(f"missing key {key}" for key in needed - set(plain))
    if wrong:
        raise ValueError(", ".join(wrong))
    for key in ("joints", "root"):
        _require_names(key, plain[key])
    for key in ("bones", "mirrored"):
        _require_pairs(key, plain.get(key) or [])
    twice = sorted(joint for joint, times in Counter(plain["joints"]).items() if times > 1)
    if twice:
        raise ValueError(f"`joints` must name each joint once, got {', '.join(twice)} twice")


def _require_names(key: str, value: object) -> None:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"`{key}` must be a list of names, got {value!r}")


def _require_pairs(key: str, value: object) -> None:
    if not isinstance(value, list) or not all(_is_pair(pair) for pair in value):
        raise ValueError(f"`{key}` must be a list of pairs of names, got {value!r}")


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2  # noqa: PLR2004 - a pair


def _index(joints: tuple[str, ...], joint: str) -> int:
    if joint not in joints:
        raise ValueError(f"{joint!r} is none of the joints {', '.join(joints)}")
    return joints.index(joint)
