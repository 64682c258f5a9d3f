"""Write 3D tracks as NPZ, CSV, TRC, C3D, BVH or glTF."""

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Num
from torch import Tensor

from selfsup_lifting.atomic_write import replacing, require_target
from selfsup_lifting.bvh_file import write_bvh
from selfsup_lifting.c3d_file import require_ezc3d, write_c3d
from selfsup_lifting.gltf_file import write_gltf
from selfsup_lifting.mapped import release_pages
from selfsup_lifting.npz_file import write_npz
from selfsup_lifting.parse.description import FORMAT_VERSION, read_description
from selfsup_lifting.point_quality import PointQuality
from selfsup_lifting.recording import PART_FRAMES, require_fps, require_kind
from selfsup_lifting.safe_text import distinct_as, for_spreadsheet, on_one_line
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.upright import UPRIGHT, y_up

# The axes of each coordinate frame.
AXES: Mapping[str, str] = {
    "camera": "x right, y down, z forward; origin in the camera",
    "root": "x right, y down, z forward as in the camera; origin in the root joint",
    "world": "as in the calibration",
}

# The columns of a joint in a CSV file, named as in anipose's 3D tables, and their formats.
POSITION: Mapping[str, str] = {"x": ".6f", "y": ".6f", "z": ".6f"}
QUALITY: Mapping[str, str] = {"error": ".3f", "ncams": ".0f", "score": ".4f"}
DEVIATION: Mapping[str, str] = {"sigma": ".6f"}
# What a file says about the quality of its points.
ABOUT_QUALITY: Mapping[str, str] = {
    "error": "mean reprojection error before any processing [px]",
    "ncams": "number of cameras whose detection was used; 0 if the point was interpolated",
    "score": "mean confidence of these detections",
}
ABOUT_COVARIANCE: Mapping[str, str] = {
    "covariance": "of the predicted position relative to the root, in the axes of the tracks "
    "[m^2]; its ellipsoid for 90 % is meant to hold 90 % of the errors",
    "sigma": "standard deviation of a coordinate: root of the mean of the three variances [m]",
}


@dataclass(frozen=True)
class _Tracks:
    """The content of a file, for every format."""

    points: Float[Tensor, "frames joints 3"]
    skeleton: Skeleton
    fps: float
    coordinates: str
    up: str = "z"
    fill: bool = False
    processing: str = ""
    quality: PointQuality | None = None
    covariance: Float[Tensor, "frames joints 3 3"] | None = None


def save_tracks(  # noqa: PLR0913 - what a file says about its tracks
    path: Path,
    tracks: Float[Tensor, "frames joints 3"],
    *,
    skeleton: Skeleton,
    fps: float,
    coordinates: str,
    up: str = "z",
    fill: bool = False,
    processing: str = "",
    quality: PointQuality | None = None,
    covariance: Float[Tensor, "frames joints 3 3"] | None = None,
    overwrite: bool = False,
) -> None:
    """Write 3D tracks in meters; the file states the unit and the coordinate frame.

    Args:
        path: The file; its suffix `.npz`, `.csv`, `.trc`, `.c3d`, `.bvh` or `.glb` chooses the
            format.
        tracks: Joint positions [m]; NaN where unknown.
        skeleton: The skeleton of the joints.
        fps: Frame rate [1/s].
        coordinates: The coordinate frame of the tracks: "camera", "root" or "world".
        up: The axis of the world that points up, such as "z" or "-y", for `.trc`, `.c3d`,
            `.bvh` and `.glb` files in world coordinates.
        fill: Whether a `.trc`, `.bvh` or `.glb` file has no gaps: they are interpolated linearly,
            and the ends repeat the nearest known position. The header of a `.trc` file says so.
        processing: What was done to the tracks, such as smoothing, for the file to say.
        quality: Reprojection error, number of cameras and score of every point, for `.npz` and
            `.csv` files.
        covariance: How sure a lifter is of each joint, in the axes of the tracks [m^2], for `.npz`
            files; `.csv` files have the standard deviation.
        overwrite: Whether an existing file may be replaced.

    Raises:
        FileExistsError: If the file exists and must not be replaced.
        ValueError: If the suffix, the coordinate frame or the axis is unknown, or the number of
            joints is not the skeleton's; if a name has half a surrogate pair; if a `.bvh` or
            `.glb` file would have gaps.

    Note:
        A `.trc` file is y up, as OpenSim requires: camera coordinates (x, y, z) are written as
        (x, -y, -z), and world coordinates as (y, z, x) if z is up, like Pose2Sim, and else by the
        rotation in `UPRIGHT`. The first line of the file says which. So are a `.bvh` file, in
        centimeters, and a `.glb` file, in meters, see `bone_motion`; they have no remarks. A
        `.c3d` file has the axes of the tracks, and is in millimeters and single precision, as
        other programs expect.
    """
    path = Path(path)
    require_writable(path, overwrite=overwrite)
    require_kind("tracks", tracks, Tensor)
    require_kind("skeleton", skeleton, Skeleton)
    require_kind("fill", fill, bool)
    require_fps(fps)
    if coordinates not in AXES:
        raise ValueError(f"`coordinates` must be one of {', '.join(AXES)}, got {coordinates!r}")
    if up not in UPRIGHT:
        raise ValueError(f"`up` must be one of {', '.join(UPRIGHT)}, got {up!r}")
    if tracks.dim() != 3 or tracks.shape[1:] != (len(skeleton.joints), 3):  # noqa: PLR2004 - axes
        raise ValueError(
            f"`tracks` must have shape (frames, {len(skeleton.joints)}, 3), "
            f"got {tuple(tracks.shape)}"
        )
    content = _Tracks(
        tracks.detach().cpu(), skeleton, fps, coordinates, up, fill, processing, quality, covariance
    )
    read_description(path, json.dumps(_description(content)), "3D tracks")  # names are text
    with replacing(path) as temporary:
        _WRITERS[path.suffix](temporary, content, path.name)


def require_writable(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a file that tracks cannot be written to, before any work is done."""
    if path.suffix not in _WRITERS:
        raise ValueError(
            f"{path}: tracks are written as {', '.join(_WRITERS)}, not {path.suffix!r}"
        )
    if path.suffix == ".c3d":
        require_ezc3d(path)
    require_target(path, overwrite=overwrite)


def _write_npz(path: Path, tracks: _Tracks, _: str) -> None:
    quality = {} if tracks.quality is None else vars(tracks.quality)
    arrays = {"description": np.array(json.dumps(_description(tracks)))}
    arrays |= {"tracks": tracks.points.numpy()}
    arrays |= {name: values.cpu().numpy() for name, values in quality.items()}
    if tracks.covariance is not None:
        arrays["covariance"] = tracks.covariance.cpu().numpy()
    write_npz(path, arrays, compressed=True)


def _write_csv(path: Path, tracks: _Tracks, _: str) -> None:
    measures = () if tracks.quality is None else tuple(vars(tracks.quality).values())
    kinds = {**POSITION, **(QUALITY if measures else {})}
    if tracks.covariance is not None:
        kinds |= DEVIATION
        measures += (standard_deviations(tracks.covariance),)
    columns = [f"{joint}_{kind}" for joint in tracks.skeleton.joints for kind in kinds]
    formats = [*kinds.values()] * len(tracks.skeleton.joints)
    described = json.dumps(_description(tracks))
    with path.open("w", newline="", encoding="utf-8") as file:
        file.write(f"# {described}\n")
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["frame", "time", *distinct_as(for_spreadsheet, columns)])
        for frame, numbers in _rows(tracks.points, *measures):
            time = f"{frame / tracks.fps:.6f}"
            rows.writerow([frame, time, *map(format, numbers, formats)])


def standard_deviations(
    covariance: Float[Tensor, "*batch 3 3"],
) -> Float[Tensor, "*batch"]:
    """Return the standard deviation of a coordinate: the root of the mean of three variances."""
    return covariance.diagonal(dim1=-2, dim2=-1).mean(dim=-1).sqrt()


def _rows(
    points: Float[Tensor, "frames joints 3"], *measures: Num[Tensor, "frames joints"]
) -> Iterator[tuple[int, list[float]]]:
    """Yield the number of every frame, and the coordinates and measures of its joints."""
    for first in range(0, len(points), PART_FRAMES):
        parts = [one[first : first + PART_FRAMES] for one in (points, *measures)]
        columns = [parts[0], *(one.to(points)[..., None] for one in parts[1:])]
        yield from enumerate(torch.cat(columns, dim=-1).flatten(1).tolist(), start=first)
        release_pages()


def _write_trc(path: Path, tracks: _Tracks, name: str) -> None:
    points = _upright(tracks)
    joints = distinct_as(on_one_line, tracks.skeleton.joints)
    frames, rate = len(points), f"{tracks.fps:g}"
    axes = [f"{axis}{marker + 1}" for marker in range(len(joints)) for axis in "XYZ"]
    header = ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units"]
    original = ["OrigDataRate", "OrigDataStartFrame", "OrigNumFrames"]
    lines = [
        ["PathFileType", "4", "(X/Y/Z)", f"{name} ({_trc_frame(tracks)})"],
        [*header, *original],
        [rate, rate, str(frames), str(len(joints)), "m", rate, "1", str(frames)],
        ["Frame#", "Time", *(cell for joint in joints for cell in (joint, "", ""))],
        ["", "", *axes],
    ]
    with path.open("w", encoding="utf-8", newline="\n") as file:
        file.writelines("\t".join(line) + "\n" for line in lines)
        for frame, numbers in _rows(points):
            cells = [str(frame + 1), f"{frame / tracks.fps:.6f}", *map(_trc_cell, numbers)]
            file.write("\t".join(cells) + "\n")


def _trc_cell(number: float) -> str:
    return f"{number:.6f}" if isfinite(number) else ""


def _write_c3d(path: Path, tracks: _Tracks, _: str) -> None:
    remarks = {"COORDINATES": tracks.coordinates, "PROCESSING": tracks.processing or "none"}
    write_c3d(
        path, tracks.points,
        names=tracks.skeleton.joints, fps=tracks.fps, up=_up(tracks), remarks=remarks,
    )  # fmt: skip


def _write_bvh(path: Path, tracks: _Tracks, _: str) -> None:
    write_bvh(path, _upright(tracks), tracks.skeleton, tracks.fps)


def _write_gltf(path: Path, tracks: _Tracks, _: str) -> None:
    write_gltf(path, _upright(tracks), tracks.skeleton, tracks.fps)


def _upright(tracks: _Tracks) -> Float[Tensor, "frames joints 3"]:
    """Return the positions with y up, without gaps if asked for."""
    points = y_up(tracks.points, _up(tracks))
    return _filled(points) if tracks.fill else points


def _up(tracks: _Tracks) -> str:
    """Return the axis of the tracks that points up."""
    return tracks.up if tracks.coordinates == "world" else "-y"


def _trc_frame(tracks: _Tracks) -> str:
    """Say what the axes of the file are, and whether gaps were filled."""
    axes = ", ".join(UPRIGHT[_up(tracks)])
    parts = [f"{tracks.coordinates} coordinates, y up: X, Y, Z are {axes}", tracks.processing]
    parts += ["gaps filled linearly"] if tracks.fill else []
    return "; ".join(filter(None, parts))


def _filled(points: Float[Tensor, "frames joints 3"]) -> Float[Tensor, "frames joints 3"]:
    """Interpolate the gaps of every coordinate; a joint that is never known stays unknown."""
    columns = points.flatten(1).double().numpy().copy()
    frames = np.arange(len(columns))
    for column in columns.T:
        known = np.isfinite(column)
        if known.any():
            column[~known] = np.interp(frames[~known], frames[known], column[known])
    return torch.from_numpy(columns).reshape(points.shape)


def _description(tracks: _Tracks) -> dict[str, object]:
    return {
        "format": FORMAT_VERSION,
        "unit": "m",
        "coordinates": tracks.coordinates,
        "axes": AXES[tracks.coordinates],
        "fps": tracks.fps,
        "processing": tracks.processing,
        "quality": {} if tracks.quality is None else ABOUT_QUALITY,
        "uncertainty": {} if tracks.covariance is None else ABOUT_COVARIANCE,
        "skeleton": tracks.skeleton.as_dict(),
    }


_Writer = Callable[[Path, _Tracks, str], None]
_WRITERS: Mapping[str, _Writer] = {
    ".npz": _write_npz, ".csv": _write_csv, ".trc": _write_trc, ".c3d": _write_c3d,
    ".bvh": _write_bvh, ".glb": _write_gltf,
}  # fmt: skip
