"""The pictures of videos, read one after the other with OpenCV."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from selfsup_lifting.read_errors import Place

_log = logging.getLogger(__name__)

INSTALL = "pip install 'multiview-geom[detect]'"


@dataclass(frozen=True)
class Video:
    """A video file.

    Attributes:
        path: The file.
        camera: The name of its camera.
        frame_count: The number of frames, as the file says; its last frames may be damaged.
        image_size: Width and height [px].
        fps: Frames per second [1/s]; 0 if the file does not say.
    """

    path: Path
    camera: str
    frame_count: int
    image_size: tuple[int, int]
    fps: float

    def pictures(self, frames: Iterable[int]) -> Iterator[UInt8[np.ndarray, "height width rgb"]]:
        """Yield the pictures of frames, whose numbers increase, until the video ends."""
        import cv2

        following = 0
        with _opened(self.path) as capture:
            for frame in frames:
                skipped = all(capture.grab() for _ in range(frame - following))
                good, picture = capture.read()
                if not (skipped and good):
                    if frame < self.frame_count:
                        _log.warning(
                            "%s has %d frames by its header, but frame %d cannot be read: the file "
                            "is damaged or cut off, and no new picture follows",
                            self.path, self.frame_count, frame,
                        )  # fmt: skip
                    return
                following = frame + 1
                yield cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


def open_videos(paths: Sequence[Path]) -> list[Video]:
    """Look at the videos of the cameras of one recording.

    Args:
        paths: One file per camera. A camera has the name of its file, or that of the folder if
            several files have the same name.

    Returns:
        The videos, in the order of the paths.

    Raises:
        ReadError: If a file is no video, or two cameras have the same name.
        ValueError: If OpenCV is not installed.

    Example:
        >>> open_videos([Path("session/cam1.mp4")])
        Traceback (most recent call last):
        selfsup_lifting.read_errors.ReadError: session/cam1.mp4: there is no such file
    """
    if find_spec("cv2") is None:
        raise ValueError(f"videos are read with OpenCV: {INSTALL}")
    return [_video(path, name) for path, name in zip(paths, _camera_names(paths), strict=True)]


def _camera_names(paths: Sequence[Path]) -> list[str]:
    files = [path.stem for path in paths]
    names = files if len({*files}) == len(files) else [path.resolve().parent.name for path in paths]
    places = [path.resolve() for path in paths]
    again = [path for at, path in enumerate(paths) if places[at] in places[:at]]
    if again:
        raise Place(again[0]).error("expected one video per camera, got this one twice")
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise Place(paths[names.index(twice[0])]).error(
            f"expected one video per camera, got {names.count(twice[0])} of {twice[0]}, the name "
            "of their folders"
        )
    return names


def _video(path: Path, camera: str) -> Video:
    import cv2

    if not path.is_file():
        found = "expected a video, got a folder" if path.is_dir() else "there is no such file"
        raise Place(path).error(found)
    with _opened(path) as capture:
        frames, width, height = (
            round(capture.get(number))
            for number in (
                cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT
            )
        )  # fmt: skip
        fps = float(capture.get(cv2.CAP_PROP_FPS))
    if frames < 1 or width < 1 or height < 1:
        raise Place(path).error("expected a video with frames; OpenCV finds none")
    return Video(path, camera, frames, (width, height), fps)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import cv2

    capture = cv2.VideoCapture(str(path))
    try:
        if not capture.isOpened():
            raise Place(path).error(
                "expected a video; OpenCV cannot open it: it is damaged, or in an unknown format"
            )
        yield capture
    finally:
        capture.release()
