"""Detect people in the videos of a recording, and write one table per camera."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from selfsup_lifting.detection.mediapipe_pose import PoseDetector
from selfsup_lifting.detection.track_table import TrackTable
from selfsup_lifting.detection.videos import Video

Show = Callable[[str], None]


@dataclass(frozen=True)
class Detection:
    """What was found in the videos of a recording.

    Attributes:
        frames: The number of frames, the same for every camera.
        with_people: In how many of these frames each camera saw somebody.
        notes: What a user should know, one sentence each.
    """

    frames: int
    with_people: dict[str, int]
    notes: tuple[str, ...]


def tables_of(
    videos: Sequence[Video], folder: Path, detector: PoseDetector, *, overwrite: bool = False
) -> list[TrackTable]:
    """Name the table of every camera, and refuse to replace finished ones.

    Args:
        videos: The videos of the cameras of one recording.
        folder: The folder of the tables.
        detector: What detects the people.
        overwrite: Delete what an earlier call wrote.

    Returns:
        The tables. A table that an interrupted call began is continued.

    Raises:
        FileExistsError: If a table is finished already, or its name is that of another file.
    """
    tables = [
        TrackTable(video, folder / f"{video.camera}.csv", f"{detector.name}; {_described(video)}")
        for video in videos
    ]
    for table in tables:
        if table.path.exists() and not table.is_finished():
            raise FileExistsError(
                f"{table.path} is no table that `detect` wrote, and --overwrite replaces those "
                "only: name another folder"
            )
        if overwrite:
            table.partial.unlink(missing_ok=True)
        elif table.path.exists() and not table.partial.exists():
            raise FileExistsError(f"{table.path} exists; --overwrite replaces it")
    return tables


def detect_people(
    tables: Sequence[TrackTable], detector: PoseDetector, show: Show = lambda _: None
) -> Detection:
    """Detect the people in every video, one video after the other.

    Args:
        tables: The tables of the cameras.
        detector: What detects the people.
        show: Called after each frame, with the name of the camera.

    Returns:
        What was found. If a video ends before the others, the frames after its end are left out
        for all cameras, and a note says so.
    """
    counts = {table: _detect(table, detector, show) for table in tables}
    frames = min(counts.values())
    for table in tables:
        table.finish(frames)
    for table in tables:
        table.partial.unlink()
    return Detection(
        frames,
        {table.video.camera: _with_people(table) for table in tables},
        tuple(_notes({table.video.camera: many for table, many in counts.items()})),
    )


def _described(video: Video) -> str:
    width, height = video.image_size
    return (
        f"{video.path.name}, {video.frame_count} frames of {width} x {height} px, {video.fps:g} fps"
    )


def _detect(table: TrackTable, detector: PoseDetector, show: Show) -> int:
    """Detect the people of one video from the first missing frame on; return the frame count."""
    done = table.resume()
    with detector.opened(table.video.fps) as detect, table.appended() as file:
        for frame, picture in enumerate(table.video.pictures(count(done)), start=done):
            table.write(file, frame, detect(picture, frame))
            done = frame + 1
            show(table.video.camera)
    return done


def _with_people(table: TrackTable) -> int:
    rows = table.path.read_text(encoding="utf-8").splitlines()[2:]
    return len({row.partition(",")[0] for row in rows if any(row.split(",")[3:])})


def _notes(counts: dict[str, int]) -> Iterator[str]:
    fewest = min(counts, key=counts.__getitem__)
    for camera, many in counts.items():
        if many > counts[fewest]:
            yield (
                f"the video of {camera} has {many} frames, that of {fewest} {counts[fewest]}: the "
                "last ones are left out; if the cameras did not start together, use --sync later"
            )
