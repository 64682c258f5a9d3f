"""MPI-INF-3DHP: annotations of the test and the training set, and P-STMO's npz of the former."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from multiview_geom import Cameras, camera_to_world
from selfsup_lifting.calibration import Rig, read_rig
from selfsup_lifting.parse.folders import files_with
from selfsup_lifting.parse.hdf5 import array_at, open_hdf5
from selfsup_lifting.parse.json_values import LARGEST_NUMBER
from selfsup_lifting.parse.matlab import matlab_variable
from selfsup_lifting.parse.npz import array_names, load_npz
from selfsup_lifting.read_errors import Place, ReadError, listed
from selfsup_lifting.read_settings import METERS_PER_UNIT, ReadSettings
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.skeleton.skeletons import SKELETONS

NAME = "mpi_inf_3dhp"
SKELETON = SKELETONS["mpi_inf_3dhp17"]
TEST_FILE, TRAIN_FILE, CALIBRATION = "annot_data.mat", "annot.mat", "camera.calibration"
ALL_CAMERAS = 14
# The cameras at chest height among all: those usually used for training.
USUAL_CAMERAS = (0, 1, 2, 4, 5, 6, 7, 8)
ALL_JOINTS = 28
# The 17 joints of the test set among the 28 of the training set.
KEPT = (7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6)
SQUARE, WIDE = (2048, 2048), (1920, 1080)
FILMED_WIDE = ("TS5", "TS6")
# Frames per second; some sequences of the training set have twice as many.
FPS = 25.0
FAST = frozenset({("S1", 2), ("S3", 1), ("S3", 2), ("S5", 1), ("S5", 2)})
MILLIMETER = METERS_PER_UNIT["mm"]
PIXEL, SPACE = 2, 3
# A point nearer than this to the plane of the camera has no pixel [m].
NEAREST = 1e-3
# No number of an activity or of a video, and no mark of a frame, is larger.
LARGEST_FLAG = 1e6

ACTIVITIES: Mapping[int, str] = {
    1: "Standing/Walking", 2: "Exercising", 3: "Sitting", 4: "Reaching/Crouching",
    5: "On The Floor", 6: "Sports", 7: "Miscellaneous",
}  # fmt: skip


@dataclass(frozen=True)
class AnnotatedSequence:
    """The annotations of one test subject, in the frame of its one camera.

    Attributes:
        name: "TS1" and so on.
        pixels: The joints in the image [px].
        metric: The joints in their real size [mm]; None if the file lacks them.
        universal: The joints scaled to the universal skeleton [mm].
        valid: Whether each frame is annotated.
        activity: The number of the activity in each frame.
    """

    name: str
    pixels: NDArray[Any]
    metric: NDArray[Any] | None
    universal: NDArray[Any]
    valid: NDArray[Any]
    activity: NDArray[Any]


def _recognizes(path: Path) -> bool:
    """Recognize a folder with annotations of the test or the training set, or P-STMO's npz."""
    if path.is_dir():
        return bool(_test_files(path) or _train_files(path) or _archives(path))
    return path.name in {TEST_FILE, TRAIN_FILE} or bool(_archives(path))


def _read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    tests = [one for file in _archives(path) for one in _npz_sequences(file)]
    tests += [_test_sequence(file) for file in _test_files(path)]
    recordings = [one for test in tests for one in _test_recordings(path, test, settings)]
    results = [ReadResult(recording) for recording in recordings]
    return results + [_read_training(file, settings) for file in _train_files(path)]


READER = Reader(NAME, _recognizes, _read)


def _archives(path: Path) -> list[Path]:
    """List the test sets as P-STMO writes them, in one npz."""
    files = files_with(path, ".npz") if path.is_dir() else [path]
    return [one for one in files if "3dhp" in one.name and array_names(one) == {"data"}]


def _test_files(path: Path) -> list[Path]:
    return _files_named(TEST_FILE, path, ("", "TS*/"))


def _train_files(path: Path) -> list[Path]:
    return _files_named(TRAIN_FILE, path, ("", "Seq*/", "S*/Seq*/"))


def _files_named(name: str, path: Path, folders: Sequence[str]) -> list[Path]:
    if path.is_file():
        return [path] if path.name == name else []
    return sorted({file for folder in folders for file in path.glob(folder + name)})


def _test_sequence(file: Path) -> AnnotatedSequence:
    """Read one HDF5 file, in which MATLAB's axes are reversed."""
    names = ("annot2", "annot3", "univ_annot3", "valid_frame", "activity_annotation")
    with open_hdf5(file, "MPI-INF-3DHP's test set (MATLAB 7.3)") as content:
        arrays = {name: np.asarray(array_at(content, name)) for name in names}
    place, frames = Place(file), arrays["valid_frame"].size
    return AnnotatedSequence(
        name=file.resolve().parent.name,
        pixels=_points(place.at("annot2"), arrays["annot2"], frames, PIXEL),
        metric=_points(place.at("annot3"), arrays["annot3"], frames, SPACE),
        universal=_points(place.at("univ_annot3"), arrays["univ_annot3"], frames, SPACE),
        valid=_flags(place.at("valid_frame"), arrays["valid_frame"], frames) > 0,
        activity=_flags(
            place.at("activity_annotation"), arrays["activity_annotation"], frames
        ).astype(int),
    )


def _npz_sequences(path: Path) -> list[AnnotatedSequence]:
    """Read P-STMO's npz, which contains the universal truth only, and no activities."""
    data = load_npz(path, "data").get("data")
    if not isinstance(data, dict) or not all(str(name).startswith("TS") for name in data):
        raise Place(path).error(
            "expected the sequences TS1 to TS6; the training npz cannot be read, for it has no "
            "cameras"
        )
    return [_npz_sequence(Place(path, str(name)), arrays) for name, arrays in data.items()]


def _npz_sequence(place: Place, arrays: Any) -> AnnotatedSequence:  # noqa: ANN401 - any content of the pickle
    if not isinstance(arrays, dict) or not {"data_2d", "data_3d", "valid"} <= set(arrays):
        got = [*arrays] if isinstance(arrays, dict) else arrays
        raise place.expected("data_2d, data_3d and valid", got)
    frames = np.size(arrays["valid"])
    return AnnotatedSequence(
        name=place.entry,
        pixels=_points(place.at("data_2d"), arrays["data_2d"], frames, PIXEL),
        metric=None,
        universal=_points(place.at("data_3d"), arrays["data_3d"], frames, SPACE),
        valid=_flags(place.at("valid"), arrays["valid"], frames) > 0,
        activity=np.zeros(frames, dtype=int),
    )


def _points(place: Place, array: Any, frames: int, coordinates: int) -> NDArray[Any]:  # noqa: ANN401 - any content of the file
    joints = len(SKELETON.joints)
    fits = isinstance(array, np.ndarray) and array.dtype.kind in "fiu"
    if not fits or array.size != frames * joints * coordinates:
        raise place.expected(f"{frames} frames of {joints} joints of {coordinates} numbers", array)
    points: NDArray[Any] = array.reshape(frames, joints, coordinates).astype("float64")
    return points


def _flags(place: Place, array: Any, frames: int) -> NDArray[Any]:  # noqa: ANN401 - any content of the file
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf" or array.size != frames:
        raise place.expected(f"one number for each of the {frames} frames", array)
    flags: NDArray[Any] = array.reshape(frames)
    if (odd := np.flatnonzero(~(np.abs(flags.astype(float)) <= LARGEST_FLAG))).size:
        frame = int(odd[0])
        raise replace(place, frame=frame).expected("a small whole number", float(flags[frame]))
    return flags


def _test_recordings(
    path: Path, test: AnnotatedSequence, settings: ReadSettings
) -> Iterator[Recording]:
    """Split a test sequence where the activity changes; frames without annotation are missing."""
    cameras = _test_camera(path, test)
    use_universal = settings.universal_truth or test.metric is None
    truth = test.universal if use_universal else test.metric
    truth = np.where(test.valid[:, None, None], MILLIMETER * np.asarray(truth), np.nan)
    pixels = np.where(test.valid[:, None, None], test.pixels, np.nan)
    parts = groupby(range(len(pixels)), key=lambda frame: test.activity[frame])
    for number, (activity, part) in enumerate(parts, start=1):
        frames = list(part)
        if not test.valid[frames].any():
            continue
        chosen = slice(frames[0], frames[-1] + 1)
        keypoints = torch.from_numpy(pixels[chosen]).float()[:, None]
        action = ACTIVITIES.get(int(activity), "unknown")
        yield Recording(
            f"{test.name} {number}", test.name, action, FPS, SKELETON, cameras, keypoints,
            confidence=keypoints.isfinite().all(dim=-1).float(),
            truth=torch.from_numpy(truth[chosen]).float(),
            source=Source("MPI-INF-3DHP", path, NAME),
        )  # fmt: skip


def _test_camera(path: Path, test: AnnotatedSequence) -> Cameras:
    """Fit the intrinsics that project the annotated points to the annotated pixels."""
    points = test.universal if test.metric is None else test.metric
    both = np.concatenate([points, test.pixels], axis=-1)
    known = (np.abs(both) < LARGEST_NUMBER).all(axis=-1) & (points[..., 2] > NEAREST)
    usable = test.valid[:, None] & known
    if not usable.any():
        raise Place(path, test.name).error("expected at least one valid frame, got none")
    intrinsics = torch.from_numpy(_fitted_intrinsics(points[usable], test.pixels[usable]))
    size = WIDE if test.name in FILMED_WIDE else SQUARE
    pose = torch.eye(4, dtype=torch.float64)[None]
    return Cameras(intrinsics[None], pose, image_size=torch.tensor([size]), names=("0",))


def _fitted_intrinsics(points: NDArray[Any], pixels: NDArray[Any]) -> NDArray[Any]:
    """Fit focal lengths and principal point, u = fx X / Z + cx, by least squares."""
    K = np.eye(3)
    for axis in range(PIXEL):
        ratio = (points[..., axis] / points[..., 2]).ravel()
        equations = np.stack([ratio, np.ones_like(ratio)], axis=1)
        (K[axis, axis], K[axis, 2]), *_ = np.linalg.lstsq(equations, pixels[..., axis].ravel())
    return K


def _read_training(file: Path, settings: ReadSettings) -> ReadResult:
    """Read one training sequence: several cameras, truth in real size."""
    rig = read_rig(settings.cameras or file.parent / CALIBRATION, unit=settings.unit)
    flat, deep = _cells(file, "annot2"), _cells(file, "annot3")
    if len(flat) != len(deep):
        raise Place(file).error(f"has 2D poses of {len(flat)} cameras and 3D poses of {len(deep)}")
    kept, cameras = _filmed(file, len(flat), rig)
    rig = rig._replace(cameras=cameras)
    pixels = _points_of_views(Place(file, "annot2"), flat[kept], cameras.names, PIXEL)
    in_camera = _points_of_views(Place(file, "annot3"), deep[kept], cameras.names, SPACE)
    counts = {
        f"camera {camera} in {array}": len(one)
        for array, cells in (("annot2", pixels), ("annot3", in_camera))
        for camera, one in zip(rig.cameras.names, cells, strict=True)
    }
    frames = min(counts.values())
    keypoints = torch.from_numpy(np.stack([one[:frames] for one in pixels], axis=1)).float()
    first = torch.from_numpy(MILLIMETER * in_camera[0][:frames])
    world = camera_to_world(rig.cameras.camera_from_world[0], first)
    folder = file.resolve().parent
    subject, number = folder.parent.name, int(re.sub(r"\D", "", folder.name) or 1)
    name, action = f"{subject} Seq{number}", f"Seq{number}"
    fps = 2 * FPS if (subject, number) in FAST else FPS
    recording = Recording(
        name, subject, action, fps, SKELETON, rig.cameras, keypoints,
        confidence=keypoints.isfinite().all(dim=-1).float(),
        truth=world.float(),
        source=Source("MPI-INF-3DHP", file, NAME),
    )  # fmt: skip
    short = [where for where, count in counts.items() if count == frames]
    told = (
        f"{name}: {listed(short)} of {file} has {frames} frames, others up to "
        f"{max(counts.values())}: the first {frames} are read"
    )
    return ReadResult(recording, notes=(*rig.notes, *([told] if len(short) < len(counts) else [])))


def _filmed(file: Path, count: int, rig: Rig) -> tuple[list[int], Cameras]:
    """Return which cells are read, and the cameras that filmed them."""
    views, videos = rig.cameras.views, _videos(file, count, rig.cameras.views)
    known = {*map(str, range(ALL_CAMERAS)), *rig.cameras.names}
    few = count <= len(USUAL_CAMERAS)
    if not few and (odd := [video for video in videos if str(video) not in known]):
        raise _no_cameras(file, rig, odd)
    kept = [cell for cell, video in enumerate(videos) if few or video in USUAL_CAMERAS]
    filmed = [videos[cell] for cell in kept]
    names = [str(video) for video in filmed]
    if kept and {*names} <= {*rig.cameras.names}:
        return kept, rig.cameras.select(names)
    if kept and views > len(USUAL_CAMERAS) and {*filmed} <= {*range(views)}:
        return kept, rig.cameras.select(filmed)
    if len(kept) == views:
        return kept, rig.cameras
    raise _no_cameras(file, rig, videos)


def _videos(file: Path, count: int, views: int) -> list[int]:
    """Return the video of each cell, and so its camera, as `cameras` of the file says.

    Without it, every camera has a cell.
    """
    numbers = matlab_variable(file, "cameras", default=np.arange(max(count, views))).ravel()
    for one in numbers.tolist():
        is_number = isinstance(one, int | float) and abs(one) < LARGEST_FLAG
        if not is_number or not float(one).is_integer():
            raise Place(file, "cameras").expected("whole numbers of videos", one)
    videos = [int(one) for one in numbers]
    if twice := sorted({video for video in videos if videos.count(video) > 1}):
        raise Place(file, "cameras").error(
            f"expected different videos, got {listed(twice)} more than once"
        )
    if len(videos) != count:
        raise Place(file, "annot2").error(
            f"expected a cell for each of the {len(videos)} cameras that `cameras`, or else the "
            f"calibration, names, got {count}"
        )
    counted_from_one = videos == [*range(1, views + 1)]  # as MATLAB does
    return [*range(views)] if counted_from_one else videos


def _no_cameras(file: Path, rig: Rig, videos: Sequence[int]) -> ReadError:
    return Place(file, "cameras").error(
        f"expected cameras of {rig.path}, {listed(rig.cameras.names)}, got {listed(videos)}"
    )


def _cells(file: Path, name: str) -> NDArray[Any]:
    """Read a cell array of one matrix per camera."""
    cells = matlab_variable(file, name).ravel()
    if cells.dtype != object:
        raise Place(file, name).expected("a cell array, one matrix per camera", cells)
    return cells


def _points_of_views(
    place: Place, cells: NDArray[Any], cameras: Sequence[str], coordinates: int
) -> list[NDArray[Any]]:
    """Return the joints that are kept of frames x (28 joints x coordinates)."""
    columns, found = ALL_JOINTS * coordinates, []
    for camera, cell in zip(cameras, cells, strict=True):
        at = replace(place, camera=camera)
        if not isinstance(cell, np.ndarray) or cell.ndim != 2 or cell.shape[1] != columns:  # noqa: PLR2004 - a matrix
            raise at.expected(f"frames x {columns} numbers", cell)
        if not len(cell):
            raise at.error("expected at least one frame, got none")
        points = cell.reshape(len(cell), ALL_JOINTS, coordinates)[:, list(KEPT)]
        found.append(points.astype("float64"))
    return found
