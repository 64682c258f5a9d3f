"""MediaPipe's pose detector: 33 joints of a person, with the model of its package or of a file."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, UInt8

from selfsup_lifting.detection.videos import INSTALL

MODEL_FILES = "pose_landmarker*.task"
MODEL_ADDRESS = (
    "https://storage.googleapis.com/mediapipe-models/pose_landmarker/pose_landmarker_heavy/float16/"
    "latest/pose_landmarker_heavy.task"
)
# Where a file does not say its frame rate, its pictures are taken to be this far apart [1/s].
USUAL_FPS = 30.0

People = list[Float32[np.ndarray, "joints 3"]]
"""x and y as shares of the picture's width and height, and the visibility, of every joint."""
Detect = Callable[[UInt8[np.ndarray, "height width rgb"], int], People]
"""Finds the people in a picture; the second argument is the number of the frame."""


@dataclass(frozen=True)
class PoseDetector:
    """A pose detector.

    Attributes:
        name: The program and its model, for the first line of a table.
        opened: Starts the detector for one video of a frame rate [1/s].
    """

    name: str
    opened: Callable[[float], AbstractContextManager[Detect]]


def find_detector(model: Path | None, beside: Sequence[Path], most_people: int) -> PoseDetector:
    """Choose the model, and how the installed version of MediaPipe runs it.

    Args:
        model: A model file (`.task`); None for the largest that is beside the videos, or else for
            that of MediaPipe's package.
        beside: The folders of the videos.
        most_people: How many people are searched in a picture; more than one need a model file.

    Returns:
        The detector.

    Raises:
        ValueError: If MediaPipe is not installed, or there is no model.

    Note:
        Up to version 0.10.21, MediaPipe's package contains the model; later versions do not.
    """
    if find_spec("mediapipe") is None:
        raise ValueError(f"people are detected with MediaPipe: {INSTALL}")
    os.environ.setdefault("GLOG_minloglevel", "2")  # MediaPipe prints remarks about its graphs
    import mediapipe

    files = [file for folder in beside for file in folder.glob(MODEL_FILES) if file.is_file()]
    file = model or max(files, key=lambda one: one.stat().st_size, default=None)
    version = f"MediaPipe {mediapipe.__version__}"
    if file is not None:
        if not file.is_file():
            raise ValueError(f"there is no model file {file}")
        return PoseDetector(
            f"{version}, {file.name}", lambda fps: _model_file(file, fps, most_people)
        )
    if not hasattr(mediapipe, "solutions"):
        raise ValueError(
            f"{version} has no model in its package: save {MODEL_ADDRESS} beside the videos, or "
            "give its path with --model"
        )
    if most_people > 1:
        raise ValueError(
            f"the model in the package of {version} finds one person; for {most_people}, save "
            f"{MODEL_ADDRESS} beside the videos, or give its path with --model"
        )
    return PoseDetector(f"{version}, its own model", lambda _fps: _own_model())


@contextmanager
def _model_file(file: Path, fps: float, most_people: int) -> Iterator[Detect]:
    import mediapipe
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.PoseLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(file)),
        running_mode=vision.RunningMode.VIDEO,
        num_poses=most_people,
    )
    with _started(vision.PoseLandmarker.create_from_options, options, file) as landmarker:

        def detect(picture: UInt8[np.ndarray, "height width rgb"], frame: int) -> People:
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
            milliseconds = round(1000 * frame / (fps or USUAL_FPS))
            found = landmarker.detect_for_video(image, milliseconds)
            return [_numbers(person) for person in found.pose_landmarks]

        yield detect


@contextmanager
def _own_model() -> Iterator[Detect]:
    import mediapipe

    with mediapipe.solutions.pose.Pose(model_complexity=1, smooth_landmarks=False) as pose:

        def detect(picture: UInt8[np.ndarray, "height width rgb"], _frame: int) -> People:
            found = pose.process(picture).pose_landmarks
            return [] if found is None else [_numbers(found.landmark)]

        yield detect


def _started(create: Callable[[Any], Any], options: object, file: Path) -> Any:  # noqa: ANN401 - untyped library
    try:
        return create(options)
    except (RuntimeError, ValueError, OSError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"{file} is no model for poses, or is damaged: {reason}") from error


def _numbers(landmarks: Sequence[Any]) -> Float32[np.ndarray, "joints 3"]:
    rows = [(one.x, one.y, one.visibility) for one in landmarks]
    return np.array(rows, dtype=np.float32)
