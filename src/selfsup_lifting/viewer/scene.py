"""What is shown: skeletons over time, and the cameras with their detections."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.config import TriangulationSettings
from selfsup_lifting.config_fields import differing
from selfsup_lifting.detection.videos import Video, open_videos
from selfsup_lifting.evaluation.subject_size import diagonal, is_person, usual_size
from selfsup_lifting.files import read_recordings
from selfsup_lifting.files.sessions.camera_matching import declared_cameras, match_camera
from selfsup_lifting.motion_files import holds_motion, load_motion
from selfsup_lifting.plots.rig import image_sizes
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording, note_on_frames
from selfsup_lifting.saved_tracks import SavedTracks
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.triangulate import triangulate_recording
from selfsup_lifting.upright import from_y_up, world_up, y_up, z_up

_log = logging.getLogger(__name__)

TRUTH, TRIANGULATED = "truth", "triangulated"
# Outliers beyond these shares do not enlarge the box around the subject.
INNER = (0.01, 0.99)
# Size of the box where nothing is known [m].
NO_SIZE = 1.0
# Rates that differ by less are one, rounded: 29.97 and 30 frames per second.
SAME_RATE = 0.02
# Of one person, no body is so much larger than another.
LARGEST_RATIO = 3.0


@dataclass(frozen=True)
class Body:
    """One skeleton over time.

    Attributes:
        name: What the legend says.
        skeleton: Its joints and bones.
        points: The joints [m]; NaN where unknown.
        fps: The frame rate that its own file states [1/s].
        notes: What a user should know about how its file was read.
    """

    name: str
    skeleton: Skeleton
    points: Float[Tensor, "frames joints 3"]
    fps: float | None = None
    notes: tuple[str, ...] = ()

    def projected(self, cameras: Cameras) -> Float[Tensor, "frames views joints 2"]:
        """Project the joints into every view; NaN where the camera cannot see them, or nearly."""
        pixels, _, valid = cameras.project(self.points.to(cameras.intrinsics.dtype))
        size = image_sizes(cameras)[:, None]
        near = ((pixels > -size) & (pixels < 2 * size)).all(dim=-1)
        return torch.where((valid & near)[..., None], pixels, torch.nan)


@dataclass(frozen=True)
class Scene:
    """Everything that a page or a picture shows.

    Attributes:
        title: The title.
        fps: Frame rate [1/s].
        up: The axis of the world that points up, such as "z" or "-y".
        bodies: The skeletons, the most important one first.
        recordings: The 2D detections, of several people if there are any; all of one rig.
        first: The number of the first frame that is shown.
        videos: The video of each camera whose video is shown, by the name of the camera.
    """

    title: str
    fps: float
    up: str
    bodies: tuple[Body, ...]
    recordings: tuple[Recording, ...]
    first: int = 0
    videos: Mapping[str, Video] = field(default_factory=dict)

    @property
    def cameras(self) -> Cameras | None:
        """The rig; None if there are 3D tracks only."""
        return self.recordings[0].cameras if self.recordings else None

    @property
    def frame_count(self) -> int:
        """The number of frames."""
        counts = [len(body.points) for body in self.bodies]
        return min([*counts, *(one.frame_count for one in self.recordings)])

    def box(self) -> tuple[Float[Tensor, "3"], Float[Tensor, "3"]]:
        """Return the lowest and highest corner of what is shown, with z up, without outliers."""
        parts = [z_up(body.points.double(), self.up).flatten(0, 1) for body in self.bodies]
        points = torch.cat([torch.zeros(0, 3, dtype=torch.float64), *parts])
        known = points[points.isfinite().all(dim=-1)]
        if not len(known) and self.cameras is not None:
            known = z_up(self.cameras.centers.double(), self.up)
        if not len(known):
            known = torch.zeros(1, 3, dtype=torch.float64)
        order = known.sort(dim=0).values
        low, high = (order[round(share * (len(order) - 1))] for share in INNER)
        room = 0.5 * (NO_SIZE - (high - low).amax()).clamp(min=0.0) * (high == low)
        return low - room, high + room


def read_scene(
    paths: Sequence[str],
    read: ReadSettings,
    triangulation: TriangulationSettings,
    *,
    frames: slice = slice(None),
    up: str | None = None,
) -> Scene:
    """Read recordings and saved 3D tracks, and triangulate the recordings.

    Args:
        paths: Recordings of one rig, and files of 3D motion, see `load_motion`.
        read: How recordings are read.
        triangulation: How they are triangulated.
        frames: The frames to show, of each path.
        up: The axis of the world that points up; by default found from the person or the cameras.

    Raises:
        ValueError: If the paths cannot be shown together, or no frame is chosen.
    """
    files, stems = [Path(path).resolve() for path in paths], [Path(path).stem for path in paths]
    twice = [path for place, path in enumerate(paths) if files[place] in files[:place]]
    if twice:
        raise ReadError(f"{twice[0]} is given twice")
    saved = {path: load_motion(Path(path)) for path in paths if holds_motion(Path(path))}
    others = [path for path in paths if path not in saved]
    recordings = read_recordings(others, read) if others else []
    unused = [] if others else [*differing(read, ReadSettings())]
    if not any(one.cameras.views > 1 for one in recordings):
        unused += differing(triangulation, TriangulationSettings())
    if unused:
        raise ValueError(
            f"`{unused[0]}` is for a recording of several cameras, which is triangulated; "
            f"{', '.join(paths)} {'is' if len(paths) == 1 else 'are'} shown without: leave it out"
        )
    _require_one_rig(recordings)
    _require_one_frame(saved, recordings)
    lengths = [
        *(one.frame_count for one in recordings),
        *(len(one.points) for one in saved.values()),
    ]
    rates = [*(one.fps for one in recordings), *(one.fps for one in saved.values())]
    if note := note_on_frames(frames, paths[0], lengths[0]):
        _log.warning("%s", note)
    recordings = [one.frames(frames) for one in recordings]
    tracks = [
        Body(_told_apart(path, stems), one.skeleton, one.points[frames], one.fps, one.notes)
        for path, one in saved.items()
    ]
    bodies = (*_bodies_of(recordings, triangulation), *tracks)
    title, first = (recordings or tracks)[0].name, frames.indices(lengths[0])[0]
    scene = Scene(title, rates[0], "z", bodies, tuple(recordings), first)
    _require_same_length(scene)
    up = up or _up_of(scene, [*saved.values()])
    axes = [one.up for one in saved.values()]
    turned = [_turned(body, own, up) for body, own in zip(tracks, axes, strict=True)]
    return replace(scene, up=up, bodies=(*bodies[: len(bodies) - len(turned)], *turned))


def _told_apart(path: str, stems: Sequence[str]) -> str:
    """Return the name of a file without its suffix; its path where another one has that name."""
    stem = Path(path).stem
    return stem if stems.count(stem) == 1 else path


def with_videos(scene: Scene, paths: Sequence[Path], pairs: Sequence[str] = ()) -> Scene:
    """Return a scene that shows videos of its cameras.

    Args:
        scene: The scene.
        paths: The videos, named like their cameras.
        pairs: Cameras and files that do not have the same name, written camera=file.

    Raises:
        ValueError: If a video is of no camera, or there are no cameras.
    """
    if not paths:
        return scene
    if scene.cameras is None:
        raise ValueError("`video` needs a recording, whose cameras filmed the videos")
    names = scene.cameras.names
    declared = declared_cameras(pairs, names)
    videos: dict[str, Video] = {}
    for video in open_videos(paths):
        if video.path.name in declared:
            declared[video.camera] = declared[video.path.name]
        match = match_camera(names, video.camera, None, declared)
        if match is None:
            raise ReadError(
                f"no camera of the recording is named like {video.path.name}; its cameras are "
                f"{', '.join(names)}; --map camera=file names the one meant"
            )
        if match[0] in videos:
            both = f"{videos[match[0]].path.name} and {video.path.name}"
            raise ReadError(
                f"expected one video of {match[0]}, got {both}; --map camera=file names another one"
            )
        videos[match[0]] = video
    return replace(scene, videos=videos)


def pairs_of_videos(pairs: Sequence[str], videos: Sequence[Path]) -> tuple[str, ...]:
    """Return those pairs camera=file of `--map` whose file is a video."""
    names = {name for path in videos for name in (path.name, path.stem, path.resolve().parent.name)}
    return tuple(pair for pair in pairs if pair.partition("=")[2] in names)


def notes_on_scene(scene: Scene) -> Iterator[str]:
    """Yield a sentence for each body, and for each video, that does not fit."""
    if not scene.bodies:
        yield (
            f"{scene.title} has one camera and no ground truth: its detections are shown, and no "
            "skeleton in space"
        )
    people = [size for body in scene.bodies if (size := _size_of_person(body)) is not None]
    for body in scene.bodies:
        yield from body.notes
        if body.fps is not None and abs(body.fps / scene.fps - 1) > SAME_RATE:
            yield (
                f"{body.name} has {body.fps:g} frames per second, and {scene.fps:g} are shown: "
                "frames of the same number are shown together"
            )
        size, usual = diagonal(body.points), min(people, default=0.0)
        subject, (low, high) = usual_size(body.skeleton)
        if size > 0 and not low <= size <= high:
            yield (
                f"the {subject} of {body.name} is {size:.3g} m across, usually {low:g} to {high:g} "
                "m: most likely its file is in another unit than it says"
            )
        elif people and is_person(body.skeleton) and size > LARGEST_RATIO * usual:
            yield f"{body.name} is {size / usual:.3g} times as large as the smallest body"
        if not body.points.isfinite().any():
            yield (
                f"no point of {body.name} is known in any of these frames; likely causes: no joint "
                "is seen by two cameras, or a file of empty cells"
            )
    yield from _notes_on_videos(scene)


def _size_of_person(body: Body) -> float | None:
    """Return the median diagonal of a person's box [m]; None if this is no person, or unknown."""
    size = diagonal(body.points) if is_person(body.skeleton) else 0.0
    return size if size > 0 else None


def _notes_on_videos(scene: Scene) -> Iterator[str]:
    """Yield a sentence for each video that ends early, or has another rate or size."""
    if scene.cameras is None:
        return
    end, names = scene.first + scene.frame_count, scene.cameras.names
    sizes = dict(zip(names, image_sizes(scene.cameras).int().tolist(), strict=True))
    for camera, video in scene.videos.items():
        if video.frame_count < end:
            yield (
                f"{video.path} has {video.frame_count} frames, and frame {end - 1} of the "
                "recording is shown: after the end of the video, no new picture follows"
            )
        if video.fps > 0 and abs(video.fps / scene.fps - 1) > SAME_RATE:
            yield (
                f"{video.path} has {video.fps:g} frames per second, the recording {scene.fps:g}: "
                "frames of the same number are shown together, so they are simultaneous only if "
                "one of the two rates is wrong"
            )
        if [*video.image_size] != sizes[camera]:
            yield (
                f"{video.path} has pictures of {_size(video.image_size)}, but {camera} of "
                f"{_size(sizes[camera])}: they are stretched to the size of the camera"
            )


def _size(size: Sequence[int]) -> str:
    return f"{size[0]} x {size[1]} px"


def _bodies_of(
    recordings: Sequence[Recording], triangulation: TriangulationSettings
) -> Iterator[Body]:
    """Yield the triangulation of every recording of several views, then the truths."""
    several = len(recordings) > 1
    for one in recordings:
        if one.cameras.views > 1:
            points = triangulate_recording(one, triangulation).points
            yield Body(
                f"{one.name}: {TRIANGULATED}" if several else TRIANGULATED, one.skeleton, points
            )
    for one in recordings:
        if one.truth is not None:
            yield Body(f"{one.name}: {TRUTH}" if several else TRUTH, one.skeleton, one.truth)


def _turned(body: Body, own: str | None, up: str) -> Body:
    """Return a body of a file that has its own axis up, in the axes of the scene."""
    if own is None or own == up:
        return body
    return replace(body, points=from_y_up(y_up(body.points, own), up))


def _up_of(scene: Scene, saved: Sequence[SavedTracks]) -> str:
    if any(one.coordinates != "world" for one in saved):
        return "-y"
    if not scene.recordings and saved[0].up is not None:
        return saved[0].up
    for body in scene.bodies:
        return world_up(scene.cameras, body.skeleton, body.points)
    return world_up(scene.cameras)


def _require_one_rig(recordings: Sequence[Recording]) -> None:
    """Refuse recordings that were not made at the same time by the same cameras."""
    for one in recordings:
        first = recordings[0]
        places = {one.source.path, first.source.path}
        together = (one.cameras, one.frame_count) == (first.cameras, first.frame_count)
        if len(recordings) > 1 and not (together and len(places) == 1 and None not in places):
            names = ", ".join(recording.name for recording in recordings[:8])
            raise ValueError(
                f"one recording can be shown at a time, got {len(recordings)}: {names}; --take "
                "chooses one"
            )


def _require_one_frame(saved: dict[str, SavedTracks], recordings: Sequence[Recording]) -> None:
    """Refuse tracks in different coordinate frames: they would not be in their places."""
    kinds = {path: one.coordinates for path, one in saved.items()}
    if recordings:
        kinds["the recording"] = "world"
    if len(set(kinds.values())) > 1:
        found = ", ".join(f"{path} is in {kind} coordinates" for path, kind in kinds.items())
        raise ValueError(
            f"all 3D tracks must be in one coordinate frame: {found}; `predict --coordinates "
            "world` writes world coordinates"
        )


def _require_same_length(scene: Scene) -> None:
    counts = {body.name: len(body.points) for body in scene.bodies}
    counts |= {one.name: one.frame_count for one in scene.recordings}
    if len(set(counts.values())) > 1:
        found = ", ".join(f"{name} has {count}" for name, count in counts.items())
        raise ValueError(f"all paths must have the same number of frames: {found}")
