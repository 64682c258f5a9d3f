"""The options of every command, and how they are parsed."""

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import tyro.extras
from tyro.conf import Positional, arg
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from selfsup_lifting.calibration_settings import CalibrationSettings
from selfsup_lifting.cli.short_help import short_help
from selfsup_lifting.config import Config, ReadSettings, TriangulationSettings
from selfsup_lifting.config_toml import load_config, load_settings
from selfsup_lifting.recipes import PRESETS, RECIPES
from selfsup_lifting.skeleton.marker_names import MarkerNames
from selfsup_lifting.smoothing_settings import SmoothingSettings

PROGRAM = "selfsup-lifting"
# Shows every option; --help shows those that most people need.
ALL_OPTIONS = "--help-all"
# Prints a script that completes commands and options in a shell.
COMPLETION = "--print-completion"

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
        recipe: What the network learns from: paper, robust, pseudo-label, supervised; or for a
            published dataset: paper-h36m, paper-humaneva, code-compat.
        preset: Size of the computation: demo (less than a minute on two cores; the default
            without --data), small (one or two minutes), quick (some minutes; the default with
            --data) or full (as in the paper).
        config: A TOML file of settings; the command line overrides it.
        resume: Continue the training in this run folder.
    """

    settings: Settings = field(default_factory=Config)
    recipe: str = "paper"
    preset: str | None = None
    config: Path | None = None
    resume: Path | None = None


@dataclass(frozen=True, kw_only=True)
class AblateOptions(Options):
    """Train with the paper's losses added one by one, or with several values of a setting.

    Attributes:
        settings: Every setting of the runs; `run` is the folder of all runs, and finished runs
            found there are reused.
        recipe: The recipe that the settings start from.
        preset: Size of each training: demo, small, quick or full.
        config: A TOML file of settings; the command line overrides it.
        seeds: Number of runs of each variant; gains compare runs with the same seed.
        vary: A setting to vary and its values, instead of adding the losses: cameras=2,3,4 or
            undistort=on,off or losses.consistency=0.001,0.1.
        jobs: Parallel trainings, each in its own process.
    """

    settings: Settings = field(default_factory=Config)
    recipe: str = "paper"
    preset: str = "small"
    config: Path | None = None
    seeds: int = 3
    vary: str | None = None
    jobs: int = 1


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
        out: Files to write: tables as .json, .csv or .tex; 3D tracks as .npz, .csv, .trc,
            .c3d, .bvh or .glb, with the name of the recording if there are several.
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
    """

    run: Positional[Path]
    data: tuple[str, ...] = ()
    weights: str = "last"


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
    """

    run: Positional[Path]
    keypoints: Positional[str]
    view: str | None = None
    coordinates: str = "root"


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
        paths: A recording, and 3D tracks (.npz or .csv of triangulate and predict) to show with it
            or alone.
        out: Files to write: .html (turns and plays in any browser), .png (one frame), .gif or .mp4;
            by default a page with the name of the first path.
        up: Axis of the world that points up, such as z or -y; by default found from the person or
            the cameras.
        triangulation: How recordings are triangulated.
    """

    paths: Positional[tuple[str, ...]]
    out: tuple[Path, ...] = ()
    up: str | None = None
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
        calibration: What to start from, what may change, and what gives the scale.
        out: Calibration files to write: .toml, .yml, .json, .h5 or .calibration.
        format: Format of the files, where their names do not tell it: colmap, easymocap or
            humaneva.
        picture: Draw the cameras from above, before and after, in this .png file.
        report: Write a page with figures to this .html file.
        overwrite: Replace files that exist.
        read: How the data are read.
    """

    path: Positional[str]
    calibration: Calibration = field(default_factory=CalibrationSettings)
    out: tuple[Path, ...] = ()
    format: str | None = None
    picture: Path | None = None
    report: Path | None = None
    overwrite: bool = False
    read: Read = field(default_factory=ReadSettings)


COMMANDS: Mapping[str, type[Options]] = {
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "predict": PredictOptions,
    "triangulate": TriangulateOptions,
    "view": ViewOptions,
    "inspect": InspectOptions,
    "calibrate": CalibrateOptions,
    "ablate": AblateOptions,
    "export": ExportOptions,
}


def parse_options(arguments: Sequence[str]) -> Options:
    """Parse a command line.

    A recipe, preset, settings file or run folder changes the defaults of the other options, so
    those that name one are parsed first.

    Raises:
        ValueError: If a value is not possible.
        SystemExit: If help was asked for, or the command or an option is unknown.
    """
    name, *rest = arguments
    if name not in COMMANDS:
        plain = ["--tyro-print-completion" if one == COMPLETION else one for one in arguments]
        tyro.extras.subcommand_cli_from_dict(
            dict(COMMANDS), prog=PROGRAM, args=plain,
            config=(tyro.conf.EnumChoicesFromValues,), registry=_registry,
        )  # fmt: skip
    if "-h" in rest or "--help" in rest:
        sys.stdout.write(short_help(PROGRAM, name, COMMANDS[name]))
        sys.exit(0)
    rest = ["--help" if one == ALL_OPTIONS else one for one in rest]
    if name in {"train", "ablate"}:
        settings = _settings_before_options(name, rest)
        kind = TrainOptions if name == "train" else AblateOptions
        return _parse(name, rest, kind(settings=settings))
    options = _parse(name, rest)
    if isinstance(options, EvaluateOptions | PredictOptions):
        read = replace(load_config(options.run).read, cameras=None)
        return _parse(name, rest, replace(options, read=read))
    return options


def default_preset(command: str, *, with_data: bool) -> str:
    """Return the preset of `train` or `ablate` that is used if none is given."""
    if command == "ablate":
        return AblateOptions.preset
    return "quick" if with_data else "demo"


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


def _parse(name: str, arguments: Sequence[str], default: Options | None = None) -> Options:
    return tyro.cli(
        COMMANDS[name], prog=f"{PROGRAM} {name}", args=arguments,
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.EnumChoicesFromValues,), registry=_registry,
    )  # fmt: skip


_registry = ConstructorRegistry()


@_registry.struct_rule
def _settings_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Tell tyro which groups of settings have options without the group's name."""
    if info.type is not Config:
        return None
    default = info.default if isinstance(info.default, Config) else Config()
    kinds: dict[str, Any] = get_type_hints(Config)
    for one in fields(Config):
        if not one.metadata.get("prefix", True):
            kinds[one.name] = Annotated[kinds[one.name], arg(name="")]
    specs = [
        StructFieldSpec(one.name, kinds[one.name], getattr(default, one.name), one.metadata["help"])
        for one in fields(Config)
    ]
    return StructConstructorSpec(Config, tuple(specs))


@dataclass(frozen=True)
class _FirstOptions:
    """The options that are parsed before all others."""

    recipe: str | None = None
    preset: str | None = None
    config: Path | None = None
    resume: Path | None = None
    run: Path | None = None
    data: tuple[str, ...] = ()


def _settings_before_options(name: str, arguments: Sequence[str]) -> Config:
    """Return the defaults of all settings: from a recipe and preset, a file, or a run."""
    first, _ = tyro.cli(
        _FirstOptions, prog=f"{PROGRAM} {name}", args=arguments, add_help=False,
        return_unknown_args=True,
    )  # fmt: skip
    if first.resume is not None:
        _require_no_other_source(first)
        return load_config(first.resume)
    usual = default_preset(name, with_data=bool(first.data or first.config))
    preset = choose(PRESETS, first.preset or usual, "preset")
    config: Config = choose(RECIPES, first.recipe or "paper", "recipe")(preset(Config()))
    return config if first.config is None else load_settings(first.config, config)


def _require_no_other_source(first: _FirstOptions) -> None:
    """Refuse options that a resumed run would ignore, because it has its own settings."""
    for option in ("recipe", "preset", "config", "run"):
        if getattr(first, option) is not None:
            raise ValueError(
                f"`resume` continues {first.resume} with the settings of that run; `{option}` "
                "cannot be given beside it"
            )
