"""3D motion of any program, to look at: tracks of this package, TRC, C3D and BVH files.

A file of markers has no bones: if its markers are not the joints of a known skeleton, sticks
connect the markers whose distances change least.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.c3d_file import require_ezc3d, require_whole_c3d
from selfsup_lifting.parse.tables import number_in
from selfsup_lifting.parse.text import read_text
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.read_settings import HIGHEST_FPS, LOWEST_FPS
from selfsup_lifting.saved_tracks import (
    SavedTracks,
    holds_tracks,
    load_tracks,
    note_on_first_frame,
    notes_on_rows,
)
from selfsup_lifting.simulation.bvh import Motion, joint_poses, load_bvh
from selfsup_lifting.simulation.motion_capture import meters_per_unit_of
from selfsup_lifting.skeleton.infer import body_by_names, no_skeleton, plain_joint
from selfsup_lifting.skeleton.skeletons import Skeleton, mirrored_by_name
from selfsup_lifting.upright import UPRIGHT

METERS = {"m": 1.0, "cm": 0.01, "mm": 0.001, "in": 0.0254}
# The lines of a TRC file before its first frame: names of the numbers in the second line, their
# values in the third, markers in the fourth, axes in the fifth.
TRC_HEADER, TRC_BEGINNING = 5, "PathFileType"
TRC_AXES = "(X/Y/Z)"
WORLD = "world"
# Coordinates from here on are damaged [m].
FARTHEST = 1e9
# Frame rates of motion capture [1/s].
USUAL_RATES = (1.0, 10_000.0)


def holds_motion(path: Path) -> bool:
    """Return whether a file is one of 3D motion, by its suffix and content."""
    return (path.is_file() and path.suffix.lower() in _READERS) or holds_tracks(path)


def load_motion(path: Path) -> SavedTracks:
    """Read 3D motion.

    Args:
        path: A file of `save_tracks` (`.npz`, `.csv`), or a `.trc`, `.c3d` or `.bvh` file of any
            program.

    Returns:
        The tracks, in meters and double precision. Coordinates of a million kilometers and more
        are missing.

    Raises:
        ReadError: If the file is damaged, or its unit of length is unknown.
        ValueError: If a C3D file is given and the library ezc3d is not installed.

    Note:
        TRC and BVH files are taken to be y up, and C3D files that name no unit in mm. BVH files
        do not say their unit of length: the one that makes the body 0.1 to 5 m large is taken,
        the first of cm, m and mm.
    """
    reader = _READERS.get(path.suffix.lower(), load_tracks)
    motion = reader(path)
    if not LOWEST_FPS <= motion.fps <= HIGHEST_FPS:
        raise Place(path).expected("a frame rate", motion.fps)
    low, high = USUAL_RATES
    if not low <= motion.fps <= high:
        note = f"{path}: the frame rate is {motion.fps:.3g} per s, usually {low:g} to {high:g}"
        motion = replace(motion, notes=(*motion.notes, note))
    far = motion.points.abs() >= FARTHEST  # False of NaN
    if far.any():
        frame, joint, _ = far.nonzero()[0].tolist()
        place = Place(path, frame=frame, joint=motion.skeleton.joints[joint])
        note = (
            f"{place}: a coordinate is {motion.points[frame, joint].abs().max():.3g} m; taken as "
            f"missing, as all from {FARTHEST:g} m on, of {int(far.any(dim=-1).sum())} points"
        )
        motion = replace(motion, notes=(*motion.notes, note))
    return replace(motion, points=motion.points.masked_fill(far, torch.nan))


def _trc_lines(place: Place) -> list[list[str]]:
    """Return the cells of each line, at least those of a header."""
    lines = [line.split("\t") for line in read_text(place.path).split("\n")]
    if not lines or not lines[0][0].startswith(TRC_BEGINNING):
        raise place.error(f"expected a TRC file, which begins with {TRC_BEGINNING}")
    axes = "".join(lines[0][2:3]).strip().upper()
    if axes not in {"", TRC_AXES}:
        raise place.expected(f"the axes {TRC_AXES} in its first line", axes)
    if len(lines) < TRC_HEADER:
        raise place.error(
            f"expected {TRC_HEADER} lines of header, got {len(lines)}; the file is cut short"
        )
    if len(lines[1]) == 1:
        raise place.error("expected tabs between the cells, got none: did an editor replace them?")
    return lines


def _load_trc(path: Path) -> SavedTracks:
    place = Place(path)
    lines = _trc_lines(place)
    header = dict(zip(map(str.strip, lines[1]), lines[2], strict=False))
    meters = _meters(place, "Units", header.get("Units", ""))
    names = [name.strip() for name in lines[3][2:] if name.strip()]
    _require_axes(place, [cell.strip() for cell in lines[TRC_HEADER - 1] if cell.strip()], names)
    numbered = enumerate(lines[TRC_HEADER:], start=TRC_HEADER + 1)
    rows = {at: line for at, line in numbered if any(cell.strip() for cell in line)}
    more = next((at for at, line in rows.items() if line[0].startswith(TRC_BEGINNING)), None)
    if more is not None:
        raise place.error(f"in line {more} another file begins: write one take to each file")
    counts = {"NumFrames": len(rows), "NumMarkers": len(names)}
    notes = [*_notes_on_counts(place, header, counts)]
    if not header.get("DataRate", "").strip():
        raise place.error("expected the frames per second (DataRate) in its header, got none")
    fps = _number(replace(place, entry="line 3, DataRate"), header["DataRate"])
    places = {at: replace(place, entry=f"line {at}") for at in rows}
    numbers = [_trc_row(places[at], row, 3 * len(names)) for at, row in rows.items()]
    frames, times = (
        [_cell(places[at], "".join(row[column : column + 1])) for at, row in rows.items()]
        for column in (0, 1)
    )
    notes += notes_on_rows(path, frames, times, fps, first=1)
    found = _of_markers(path, numbers, names, meters, fps, "y")
    return replace(found, notes=(*notes, *found.notes))


def _notes_on_counts(
    place: Place, header: Mapping[str, str], counts: Mapping[str, int]
) -> Iterator[str]:
    """Yield a note on each count of a header that is too small; refuse one that is too large."""
    for key, count in counts.items():
        stated = header.get(key, "").strip()
        said = _cell(replace(place, entry=f"line 3, {key}"), stated)
        if said > count:
            raise place.error(
                f"expected {stated:.20} as in the header ({key}), got {count}; the file is cut "
                "short or was edited"
            )
        if stated and said != count:
            yield f"{place.path}: its header has {key} {stated}, but {count} are there and read"


def _require_axes(place: Place, axes: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a header whose axes are not X, Y and Z of each marker that it names."""
    triples = [axes[at : at + 3] for at in range(0, len(axes), 3)]
    if len(triples) != len(names) or not all(map(_is_xyz, triples)):
        odd = next((triple for triple in triples if not _is_xyz(triple)), axes)
        raise replace(place, entry=f"line {TRC_HEADER}").error(
            f"expected the axes X, Y and Z of each of {len(names)} markers, got {len(axes)} cells: "
            f"{listed(odd)}; likely cause: a marker without a name, another order of the axes, or "
            "the markers of two files side by side"
        )


def _is_xyz(axes: Sequence[str]) -> bool:
    """Return whether the cells are X, Y and Z of one marker, such as X2, Y2 and Z2."""
    same = len({axis[1:] for axis in axes}) == 1
    return same and [axis[:1].upper() for axis in axes] == ["X", "Y", "Z"]


def _meters(place: Place, key: str, unit: str) -> float:
    if unit.strip().lower() not in METERS:
        raise place.expected(f"{key} to be one of {', '.join(METERS)}", unit.strip())
    return METERS[unit.strip().lower()]


def _trc_row(place: Place, row: Sequence[str], count: int) -> list[float]:
    known = max((at for at, cell in enumerate(row) if cell.strip()), default=0) - 1
    if known > 0 and known % 3 and known < count:
        raise place.error(
            f"expected 3 numbers per marker, got {known} in a row; the file is cut short"
        )
    if known > count:
        raise place.error(f"expected {count} numbers of {count // 3} markers, got {known} cells")
    cells = [*row[2:], *[""] * count][:count]
    return [_cell(place, cell) for cell in cells]


def _cell(place: Place, cell: str) -> float:
    return _number(place, cell) if cell.strip() else torch.nan


def _number(place: Place, cell: str) -> float:
    try:
        return number_in(cell.strip())
    except ValueError:
        raise place.expected("a number", cell) from None


def _load_c3d(path: Path) -> SavedTracks:
    require_ezc3d(path)
    more = require_whole_c3d(path)
    import ezc3d

    try:
        file = ezc3d.c3d(str(path))
    except (OSError, ValueError, RuntimeError) as error:
        raise Place(path).damaged("a C3D file", error) from error
    group = file["parameters"]["POINT"]
    points = torch.from_numpy(file["data"]["points"][:3].transpose(2, 1, 0).copy())
    missing = torch.from_numpy(file["data"]["meta_points"]["residuals"][0].T < 0)
    points = points.masked_fill(missing[..., None], torch.nan)
    meters = _meters(Place(path), "POINT:UNITS", _text(group, "UNITS", "") or "mm")
    screen = _text(group, "Y_SCREEN", "+Z").lower()
    up = screen.lstrip("+") or "z"
    if up not in UPRIGHT:
        raise Place(path, "POINT:Y_SCREEN").expected("an axis such as +Z", screen)
    names, notes = _labels(path, group, points.shape[1])
    if more:
        notes += (
            f"{path}: about {more} frames after the first {len(points)} are not read: a C3D file "
            "counts no more; write it in parts, or as TRC",
        )
    if before := int(file["header"]["points"]["first_frame"]):
        notes += (note_on_first_frame(path, before + 1, 1),)
    fps = float(file["header"]["points"]["frame_rate"])
    found = _of_markers(path, points.flatten(1).tolist(), names, meters, fps, up)
    return replace(found, notes=(*notes, *found.notes))


def _labels(path: Path, group: Mapping[str, Any], count: int) -> tuple[list[str], tuple[str, ...]]:
    """Return the names of the points, from all lists of names, and a note on those without."""
    lists = [name for name in group if re.fullmatch(r"LABELS\d*", name)]
    lists.sort(key=lambda name: int(name.removeprefix("LABELS") or 1))
    names = [str(label).strip() for name in lists for label in group[name]["value"]][:count]
    names += [""] * (count - len(names))
    blank = names.count("")
    note = f"{path}: {blank} of {count} points have no label, and are named unlabeled_<number>"
    named = [name or f"unlabeled_{at}" for at, name in enumerate(names, start=1)]
    return named, (note,) if blank else ()


def _text(group: Mapping[str, Any], name: str, usual: str) -> str:
    values = group[name]["value"] if name in group else []
    return str(values[0]).strip() if len(values) else usual


def _load_bvh(path: Path) -> SavedTracks:
    motion = load_bvh(path)
    names, parents, points = _joints_and_ends(motion)
    meters = meters_per_unit_of(path, points)
    sides = mirrored_by_name([plain_joint(name) for name in names])
    try:
        skeleton = Skeleton(path.stem, names, parents, sides, (0,))
    except ValueError as error:
        raise no_skeleton(path, names, error) from None
    return SavedTracks(points * meters, skeleton, motion.fps, WORLD, "y")


def _joints_and_ends(
    motion: Motion,
) -> tuple[tuple[str, ...], tuple[int, ...], Float[Tensor, "frames joints 3"]]:
    """Return the joints and the ends of the last bones: names, parents and positions.

    A joint with position channels moves freely, so that no bone connects it to its parent.
    """
    poses, joints = joint_poses(motion), motion.joints
    names = [one.name for one in joints]
    free = [any(channel.endswith("position") for channel in one.channels) for one in joints]
    parents = [-1 if moves else one.parent for one, moves in zip(joints, free, strict=True)]
    points = [*poses.positions.unbind(dim=1)]
    for at, joint in enumerate(joints):
        if joint.end is not None and any(joint.end):
            names.append(f"{joint.name} end")
            parents.append(at)
            end = points[at].new_tensor(joint.end)
            points.append(points[at] + poses.rotations[:, at] @ end)
    return tuple(names), tuple(parents), torch.stack(points, dim=1)


def _of_markers(
    path: Path,
    rows: Sequence[Sequence[float]],
    names: Sequence[str],
    meters: float,
    fps: float,
    up: str,
) -> SavedTracks:
    if not rows or not names or not fps > 0:
        raise Place(path).error(
            f"expected markers, frames and a frame rate, got {len(names)}, {len(rows)} and {fps:g}"
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise Place(path).error(f"several of its markers have the same name: {listed(twice)}")
    points = meters * torch.tensor(rows, dtype=torch.float64).reshape(len(rows), -1, 3)
    body = body_by_names(path, names)
    if not body.skeleton.bones:
        body = body_by_names(path, names, links=_sticks(points, names))
    notes = tuple(_note_on_zeros(path, points, names))
    return SavedTracks(points[:, list(body.order)], body.skeleton, fps, WORLD, up, notes)


def _note_on_zeros(
    path: Path, points: Float[Tensor, "frames markers 3"], names: Sequence[str]
) -> Iterator[str]:
    """Yield a note on markers that are at the origin in some frames, as if missing there."""
    zero = (points == 0).all(dim=-1)
    zero &= (points.isfinite().all(dim=-1) & ~zero).any(dim=0)  # a root may be there in all frames
    if zero.any():
        frame, marker = zero.nonzero()[0].tolist()
        yield (
            f"{path}: {int(zero.sum())} points are exactly at the origin, first {names[marker]} in "
            f"frame {frame}: codes of some programs for missing markers?"
        )


def _sticks(
    points: Float[Tensor, "frames markers 3"], names: Sequence[str]
) -> list[tuple[str, str]]:
    """Connect the markers to a tree whose distances change least over time."""
    from scipy.sparse.csgraph import minimum_spanning_tree

    distances = torch.cdist(points, points).numpy()
    with np.errstate(invalid="ignore"):
        known = np.isfinite(distances)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, distances, 0.0).sum(axis=0) / count
        square = np.where(known, distances**2, 0.0).sum(axis=0) / count
        change = np.sqrt(np.maximum(square - mean**2, 0.0))
    # Among markers of one rigid part, the shortest sticks; a cost of zero would be no stick.
    cost = np.where(known.any(axis=0), change + 0.01 * mean + 1e-9, np.inf)
    ones, others = minimum_spanning_tree(np.triu(np.where(np.isinf(cost), 0.0, cost), 1)).nonzero()
    pairs = zip(ones.tolist(), others.tolist(), strict=True)
    return [(names[one], names[other]) for one, other in pairs]


_READERS: Mapping[str, Callable[[Path], SavedTracks]] = {
    ".trc": _load_trc, ".c3d": _load_c3d, ".bvh": _load_bvh,
}  # fmt: skip
