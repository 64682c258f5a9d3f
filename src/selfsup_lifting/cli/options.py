"""The options of every command."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from tyro.conf import Positional, arg

from selfsup_lifting.calibration_settings import CalibrationSettings, Start
from selfsup_lifting.config import Config, TriangulationSettings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.skeleton.marker_names import MarkerNames
from selfsup_lifting.smoothing_settings import SmoothingSettings

Choice = TypeVar("Choice")
Settings = Annotated[Config, arg(name="")]
Read = Annotated[ReadSettings, arg(name="")]
Smoothing = Annotated[SmoothingSettings, arg(name="")]
Calibration = Annotated[CalibrationSettings, arg(name="")]
Triangulation = Annotated[TriangulationSettings, arg(name="")]


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a command.

    Attributes:
        json: Print one JSON object and nothing else.
    """

    json: bool = False


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Options):
    """Train a network that lifts one camera's 2D pose to 3D, from several cameras without labels.

    Attributes:
        settings: Every setting of the run.
        recipe: What the network learns from: robust, paper, pseudo-label, supervised; or for a
            published dataset: paper-h36m, paper-humaneva, code-compat.
        preset: Size of the computation: demo (about a minute on two cores; the default
            without --data), small (one or two minutes), quick (some minutes; the default with
            --data) or full (as in the paper).
        noise_level: Errors of the simulated detector: mild, cpn-like or harsh; options such as
            --noise.jitter-px change single ones.
        config: A TOML file of settings; the command line overrides it.
        resume: Continue the training in this run folder.
        calibrate: First calibrate the cameras from the people whom they saw, and train with these:
            from the given intrinsics (intrinsics), from image sizes (image-size), or repairing the
            given calibration (calibration).
        calibration: What may change beside the poses, and what gives the scale.
        profile: First profile some steps: print where their time goes, and save a trace in the run
            folder.
    """

    settings: Settings = field(default_factory=Config)
    recipe: str = "robust"
    preset: str | None = None
    noise_level: str | None = None
    config: Path | None = None
    resume: Path | None = None
    calibrate: Start | None = None
    calibration: CalibrationSettings = field(default_factory=CalibrationSettings)
    profile: bool = False


@dataclass(frozen=True, kw_only=True)
class AblateOptions(Options):
    """Train with the paper's losses added one by one, or with several values of a setting.

    Attributes:
        settings: Every setting of the runs; `run` is the folder of all runs, and finished runs
            found there are reused.
        recipe: The recipe that the settings start from.
        preset: Size of each training: demo, small, quick or full.
        noise_level: Errors of the simulated detector: mild, cpn-like or harsh; options such as
            --noise.jitter-px change single ones.
        config: A TOML file of settings; the command line overrides it.
        seeds: Number of runs of each variant; gains compare runs with the same seed.
        vary: A setting to vary and its values, instead of adding the losses: cameras=2,3,4 or
            undistort=on,off or losses.consistency=0.001,0.1.
        jobs: Trainings at once, each in its own process, or auto: on a CPU as many as PyTorch has
            threads (the variable OMP_NUM_THREADS), on GPUs one per GPU.
    """

    settings: Settings = field(default_factory=Config)
    recipe: str = "paper"
    preset: str = "small"
    noise_level: str | None = None
    config: Path | None = None
    seeds: int = 3
    vary: str | None = None
    jobs: int | Literal["auto"] = "auto"


@dataclass(frozen=True, kw_only=True)
class InspectOptions(Options):
    """Show what a file or folder holds, what is missing, and which camera looks wrong.

    Attributes:
        path: Detections with or without their calibration, or a calibration alone.
        report: Write a page with figures to this .html file.
        overwrite: Replace the report if it exists.
        read: How the data are read.
    """

    path: Positional[str]
    report: Path | None = None
    overwrite: bool = False
    read: Read = field(default_factory=ReadSettings)


@dataclass(frozen=True, kw_only=True)
class ResultOptions(Options):
    """The options of the commands that write results.

    Attributes:
        frames: Frames to use as first:end, for example 80:100, or 80: for all from frame 80.
        out: Files to write: the tables of `evaluate` as .json, .csv or .tex; 3D tracks as .npz,
            .csv, .trc, .c3d, .bvh or .glb, with the recording's name if there are several.
        overwrite: Replace files that exist.
        read: How the data are read; `evaluate` and `predict` use the run's settings by default.
    """

    frames: str = ":"
    out: tuple[Path, ...] = ()
    overwrite: bool = False
    read: Read = field(default_factory=ReadSettings)


@dataclass(frozen=True, kw_only=True)
class TrackOptions(ResultOptions):
    """The options of the commands that write 3D tracks.

    Attributes:
        up: Axis of the world that points up, such as z or -y, for .trc, .c3d, .bvh and .glb files;
            by default found from the person or the cameras.
        fill: Leave no gaps in .trc, .bvh and .glb files: interpolate them linearly, as OpenSim
            needs.
        marker_names: Names of the joints in the files: standard (ours, as left_hip), original (as
            in the detector's files, if they name the joints) or pose2sim (as in the OpenSim marker
            sets of Pose2Sim: LHip).
        smoothing: How the tracks are filled and smoothed.
    """

    up: str | None = None
    fill: bool = False
    marker_names: MarkerNames = MarkerNames.STANDARD
    smoothing: Smoothing = field(default_factory=SmoothingSettings)


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(ResultOptions):
    """Compare single-view predictions with the ground truth, or with all views together.

    Attributes:
        run: The run folder.
        data: Data to evaluate on; by default the data held out of the training. Of a published
            dataset only its test set is used.
        weights: Which weights of the run: last, or best (lowest reprojection error on the
            recordings of --select-on).
        refine: Refine the poses by their pixels and by the bones of the track, and smooth them.
    """

    run: Positional[Path]
    data: tuple[str, ...] = ()
    weights: str = "last"
    refine: bool = False


@dataclass(frozen=True, kw_only=True)
class PredictOptions(TrackOptions):
    """Lift one camera's 2D track to 3D.

    Attributes:
        run: The run folder.
        keypoints: The 2D track: any readable recordings with one camera or more; or - to read a
            JSON object per frame from standard input and to write one, with --cameras FILE.
        view: The camera to lift from; by default the first.
        coordinates: Coordinate frame of the output: root (relative to the root, in the camera's
            axes), camera (placed where the pose fits the image best) or world (the same,
            transformed by the camera's extrinsics).
        refine: Refine the poses by their pixels and by the bones of the track, and smooth them.
    """

    run: Positional[Path]
    keypoints: Positional[str]
    view: str | None = None
    coordinates: str = "root"
    refine: bool = False


@dataclass(frozen=True, kw_only=True)
class TriangulateOptions(TrackOptions):
    """Triangulate recordings from all their views, and report the reprojection errors.

    Attributes:
        path: A recording or several; --take chooses one.
        report: Write a page with figures to this .html file.
        triangulation: How the points are triangulated.
    """

    path: Positional[str]
    report: Path | None = None
    triangulation: Triangulation = field(default_factory=TriangulationSettings)


@dataclass(frozen=True, kw_only=True)
class ViewOptions(ResultOptions):
    """Show recordings and 3D tracks: an interactive page, a picture or a video.

    Attributes:
        paths: A recording, and 3D tracks to show with it or alone: .npz or .csv of triangulate and
            predict, or .trc, .c3d or .bvh of any program.
        out: Files to write: .html (turns and plays in any browser), .png (one frame), .gif, .mp4,
            or .rrd (for the viewer of Rerun); by default a page with the name of the first path.
        up: Axis of the world that points up, such as z or -y; by default found from the person or
            the cameras.
        video: Videos of the cameras, named like them, to show below the skeletons in .png, .gif and
            .mp4 files; a page takes them when it is open.
        triangulation: How recordings are triangulated.
    """

    paths: Positional[tuple[str, ...]]
    out: tuple[Path, ...] = ()
    up: str | None = None
    video: tuple[Path, ...] = ()
    triangulation: Triangulation = field(default_factory=TriangulationSettings)


@dataclass(frozen=True, kw_only=True)
class ExportOptions(Options):
    """Write a trained network for programs without PyTorch.

    Attributes:
        run: The run folder.
        onnx: An ONNX model to write: from pixels to meters, compared with PyTorch.
        web: A folder for a page that lifts files in any browser, without network.
        overwrite: Replace files that exist.
    """

    run: Positional[Path]
    onnx: Path | None = None
    web: Path | None = None
    overwrite: bool = False


@dataclass(frozen=True, kw_only=True)
class CalibrateOptions(Options):
    """Calibrate cameras from the people whom they saw, or repair a calibration.

    Attributes:
        path: Recordings of the same cameras.
        start: What to start from: calibration (repair the given one), intrinsics (ignore its poses)
            or image-size (ignore its focal lengths and lenses too).
        calibration: What may change beside the poses, and what gives the scale.
        out: Calibration files to write: .toml, .yml, .json, .h5 or .calibration.
        format: Format of the files, where their names do not tell it: colmap, easymocap or
            humaneva.
        picture: Draw the cameras from above, before and after, in this .png file.
        report: Write a page with figures to this .html file.
        overwrite: Replace files that exist.
        read: How the data are read.
    """

    path: Positional[str]
    start: Start = Start.CALIBRATION
    calibration: Calibration = field(default_factory=CalibrationSettings)
    out: tuple[Path, ...] = ()
    format: str | None = None
    picture: Path | None = None
    report: Path | None = None
    overwrite: bool = False
    read: Read = field(default_factory=ReadSettings)


def choose(choices: Mapping[str, Choice], name: str, option: str) -> Choice:
    """Return the choice of a name, or raise a ValueError that lists the names."""
    if name not in choices:
        raise ValueError(f"`{option}` must be one of {', '.join(choices)}, got {name!r}")
    return choices[name]


def frame_slice(text: str) -> slice:
    """Parse `first:end`, either of which may be left out; raise a ValueError for other forms."""
    if not re.fullmatch(r"-?\d*:-?\d*", text):
        raise ValueError(f"`frames` must be written first:end, as 80:100 or 80:, got {text!r}")
    first, end = (int(number) if number else None for number in text.split(":"))
    return slice(first, end)
