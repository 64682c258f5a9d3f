"""What each command of the shell can be told."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from selfsup_lifting.config import Config, ReadSettings, TriangulationSettings

# `triangulate` uses no weights, so it leaves doubtful detections out.
LEAST_CONFIDENCE = 0.3

Read = Annotated[ReadSettings, arg(name="")]


@dataclass(frozen=True)
class TrainOptions:
    """Train a lifter from multi-view 2D tracks; without --data, on embedded synthetic takes.

    Attributes:
        settings: Every setting of the run.
        recipe: What is learned from: paper, robust, pseudo-label, supervised, or for a benchmark
            paper-h36m, paper-humaneva, code-compat.
        preset: How much is computed: demo (a minute or two on two cores; the default without
            --data), quick (some minutes; the default with --data), full (as the paper).
        config: A TOML file of settings; the command line overrides it.
        resume: Go on with the training in this run folder.
        json: Print one JSON object and nothing else.
    """

    settings: Annotated[Config, arg(name="")] = field(default_factory=Config)
    recipe: str = "paper"
    preset: str | None = None
    config: Path | None = None
    resume: Path | None = None
    json: bool = False


@dataclass(frozen=True)
class AblateOptions:
    """Train with ever more of the paper's losses, or with several values of a setting.

    Attributes:
        settings: Every setting of the runs; `run` is the folder that holds them all, and what is
            done there already is not done again.
        recipe: Where the settings start from.
        preset: How much each training computes: demo (the default), quick, full.
        config: A TOML file of settings; the command line overrides it.
        seeds: Trainings per variant; a difference is taken seed by seed.
        vary: A setting and its values instead of the losses, as cameras=2,3,4 or
            undistort=on,off or losses.consistency=0.001,0.1.
        jobs: Trainings at a time, each in a process of its own.
        json: Print one JSON object and nothing else.
    """

    settings: Annotated[Config, arg(name="")] = field(default_factory=Config)
    recipe: str = "paper"
    preset: str = "demo"
    config: Path | None = None
    seeds: int = 3
    vary: str | None = None
    jobs: int = 1
    json: bool = False


@dataclass(frozen=True)
class EvaluateOptions:
    """Compare a lifter's single-view predictions with the truth, or with all views together.

    Attributes:
        run: The run folder.
        data: What to evaluate on; by default what the run kept out of training. Of a benchmark
            its test alone is taken.
        frames: Frames to use: first:end, or 80: for all from frame 80 on.
        weights: Which weights of the run: last, or best (by the reprojection error on the takes
            of --select-on).
        out: Files to write the tables to: .json, .csv, .tex.
        overwrite: Replace files that exist.
        json: Print one JSON object and nothing else.
        read: How the data are read; by default as the run read them.
    """

    run: Positional[Path]
    data: tuple[str, ...] = ()
    frames: str = ":"
    weights: str = "last"
    out: tuple[Path, ...] = ()
    overwrite: bool = False
    json: bool = False
    read: Read = field(default_factory=ReadSettings)


@dataclass(frozen=True)
class PredictOptions:
    """Lift one camera's 2D track to 3D.

    Attributes:
        run: The run folder.
        keypoints: The track: anything that can be read, with one camera or more.
        view: The camera to lift from; by default the first.
        frames: Frames to lift: first:end, or 80: for all from frame 80 on.
        frame: Where the joints are told: root (relative to the root, in the camera's axes),
            camera (the root placed where the pose fits the image best) or world (the same, by
            the camera's extrinsics).
        out: Files to write: .npz, .csv, .trc.
        overwrite: Replace files that exist.
        json: Print one JSON object and nothing else.
        read: How the data are read; by default as the run read them.
    """

    run: Positional[Path]
    keypoints: Positional[str]
    view: str | None = None
    frames: str = ":"
    frame: str = "root"
    out: tuple[Path, ...] = ()
    overwrite: bool = False
    json: bool = False
    read: Read = field(default_factory=ReadSettings)


@dataclass(frozen=True)
class TriangulateOptions:
    """Triangulate a take from all its views, and tell each camera's reprojection error.

    Attributes:
        path: The take.
        frames: Frames to use: first:end, or 80: for all from frame 80 on.
        out: Files to write: .npz, .csv, .trc.
        overwrite: Replace files that exist.
        json: Print one JSON object and nothing else.
        read: How the data are read.
        triangulation: How the points are found.
    """

    path: Positional[str]
    frames: str = ":"
    out: tuple[Path, ...] = ()
    overwrite: bool = False
    json: bool = False
    read: Read = field(default_factory=lambda: ReadSettings(min_confidence=LEAST_CONFIDENCE))
    triangulation: Annotated[TriangulationSettings, arg(name="")] = field(
        default_factory=TriangulationSettings
    )


@dataclass(frozen=True)
class InspectOptions:
    """Tell what lies in a file or folder, what is missing, and which camera looks wrong.

    Attributes:
        path: Detections with or without their calibration, or a calibration alone.
        json: Print one JSON object and nothing else.
        read: How the data are read.
    """

    path: Positional[str]
    json: bool = False
    read: Read = field(default_factory=ReadSettings)


def chosen_frames(written: str) -> slice:
    """Read `first:end`, either of which may be left out.

    Args:
        written: What the user wrote.

    Returns:
        The frames meant.

    Raises:
        ValueError: If it is not understood.
    """
    if not re.fullmatch(r"-?\d*:-?\d*", written):
        raise ValueError(f"`frames` must be written first:end, as 80:100 or 80:, got {written!r}")
    first, end = (int(number) if number else None for number in written.split(":"))
    return slice(first, end)
