"""A plain CSV of your own: one row per frame and person, its header documented here.

The header has `frame`, and for every joint `<joint>_x`, `<joint>_y` and, if there is one,
`<joint>_confidence`. Optional are `camera`, `person` and `time` [s]. An empty cell is missing; a
joint without confidence counts as certain. Lines that begin with # are remarks. Rows may be left
out in the middle, where nobody is seen; the cameras of a take must cover equally many frames. A
table whose joints also have a `<joint>_z` holds points in space and is no track.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from selfsup_lifting.files.detectors.person_frames import (
    Sighting,
    covering_range,
    gap_notes,
    gather_sightings,
)
from selfsup_lifting.files.detectors.view_tracks import ViewTracks, view_tracks
from selfsup_lifting.files.parse.json_values import LARGEST_NUMBER, read_text
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.infer import body_by_names
from selfsup_lifting.skeleton.skeletons import Skeleton

LAYOUT = "CSV"
SUFFIXES = ("_x", "_y", "_confidence")

Row = Mapping[str, str]


def recognises(path: Path) -> bool:
    """Tell a CSV whose header has a `frame` and joints with x and y, but no z: those are points."""
    if path.suffix != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = next((line for line in file if line.strip() and not line.startswith("#")), "")
    names = [name.strip() for name in header.split(",")]
    joints = [name.removesuffix("_x") for name in names if name.endswith("_x")]
    in_space = any(f"{joint}_z" in names for joint in joints)
    return "frame" in names and bool(joints) and not in_space


def read_views(path: Path, told: Skeleton | None) -> list[ViewTracks]:
    """Read what the cameras saw.

    Args:
        path: The CSV.
        told: What the joints are; told from the header where None.

    Returns:
        One view per camera that the file names, or one named as the file.

    Raises:
        ReadError: If the header or a cell cannot be understood; the sentence names the row.
    """
    joints, rows = _table(path)
    cameras = dict.fromkeys(row.get("camera", path.stem) for _, row in rows)
    return [
        _view(path, camera, joints, [row for row in rows if row[1].get("camera", camera) == camera],
              told)
        for camera in cameras
    ]  # fmt: skip


def _view(
    path: Path,
    camera: str,
    joints: Sequence[str],
    rows: Sequence[tuple[int, Row]],
    told: Skeleton | None,
) -> ViewTracks:
    sightings = [_sighting(path, number, row, joints) for number, row in rows]
    _require_distinct(path, sightings)
    frames = covering_range(path, [sighting.frame for sighting in sightings])
    numbers, people = gather_sightings(path, sightings, frames)
    seen = numbers.isfinite().all(dim=-1).float().mean(dim=(0, 1)).tolist()
    body = body_by_names(path, joints, told=told, seen_share=seen)
    view = view_tracks(
        camera, path, LAYOUT, body.skeleton, numbers[:, :, list(body.order)],
        first_frame=frames.start, people=people,
        notes=gap_notes(path, [sighting.frame for sighting in sightings]),
    )  # fmt: skip
    return replace(view, fps=_frame_rate(path, rows), every_frame=False)


def _table(path: Path) -> tuple[tuple[str, ...], list[tuple[int, Row]]]:
    """Read the joints of the header, and every row with its number in the file."""
    lines = [
        (number, line)
        for number, line in enumerate(read_text(path).splitlines(), start=1)
        if line.strip() and not line.startswith("#")
    ]
    cells = list(csv.reader(io.StringIO("\n".join(line for _, line in lines))))
    header = [name.strip() for name in cells[0]] if cells else []
    joints = tuple(name.removesuffix("_x") for name in header if name.endswith("_x"))
    _require_header(path, header, joints)
    rows: list[tuple[int, Row]] = []
    for (number, _), row in zip(lines[1:], cells[1:], strict=False):
        if len(row) != len(header):
            raise ReadError(f"{path}, row {number}: expected {len(header)} cells, got {len(row)}")
        rows.append((number, dict(zip(header, (cell.strip() for cell in row), strict=True))))
    if not rows:
        raise ReadError(f"{path}: there is a header and no row")
    return joints, rows


def _require_header(path: Path, header: Sequence[str], joints: Sequence[str]) -> None:
    needed = ["frame", *(f"{joint}_y" for joint in joints)]
    lacking = [name for name in needed if name not in header]
    twice = sorted({name for name in header if name and header.count(name) > 1})
    wrong = [f"lacking {', '.join(lacking)}"] if lacking else []
    wrong += [f"{name} stands there twice" for name in twice]
    if not joints:
        wrong.append("no column ends in _x")
    if wrong:
        raise ReadError(
            f"{path}: the header must name `frame` and, once each, <joint>_x and <joint>_y; "
            + "; ".join(wrong)
        )


def _sighting(path: Path, number: int, row: Row, joints: Sequence[str]) -> Sighting:
    numbers = [
        [
            _number(
                path, number, row, joint + suffix, 1.0 if suffix == "_confidence" else torch.nan
            )
            for suffix in SUFFIXES
        ]
        for joint in joints
    ]
    frame = _number(path, number, row, "frame", torch.nan)
    if not 0 <= frame <= LARGEST_NUMBER or frame != int(frame):
        raise ReadError(
            f"{path}, row {number}: expected the number of a frame, got {row['frame']!r}"
        )
    return Sighting(int(frame), torch.tensor(numbers), row.get("person") or None)


def _number(path: Path, number: int, row: Row, column: str, missing: float) -> float:
    cell = row.get(column, "")
    if not cell:
        return missing
    try:
        return float(cell)
    except ValueError:
        raise ReadError(
            f"{path}, row {number}, column {column}: expected a number, got {cell!r}"
        ) from None


def _require_distinct(path: Path, sightings: Sequence[Sighting]) -> None:
    seen: set[tuple[int, str | None]] = set()
    for sighting in sightings:
        if (sighting.frame, sighting.person) in seen:
            raise ReadError(
                f"{path}: frame {sighting.frame} stands there twice; several people need a column "
                "`person`"
            )
        seen.add((sighting.frame, sighting.person))


def _frame_rate(path: Path, rows: Sequence[tuple[int, Row]]) -> float | None:
    """Tell the frames per second from the first and the last time."""
    if len(rows) < 2 or not rows[0][1].get("time"):  # noqa: PLR2004 - a rate needs two times
        return None
    (first, early), (last, late) = rows[0], rows[-1]
    seconds = _number(path, last, late, "time", torch.nan) - _number(
        path, first, early, "time", torch.nan
    )
    frames = float(late["frame"]) - float(early["frame"])
    return frames / seconds if seconds * frames > 0 else None
