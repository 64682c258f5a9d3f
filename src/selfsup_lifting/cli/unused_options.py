"""Options that have no effect beside the others: one table, and one function that refuses them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from operator import attrgetter
from pathlib import Path
from typing import Any, NamedTuple

from selfsup_lifting.calibration_settings import Start
from selfsup_lifting.cli.options import (
    AblateOptions,
    CalibrateOptions,
    Options,
    PredictOptions,
    TrackOptions,
    TrainOptions,
    TriangulateOptions,
    ViewOptions,
)
from selfsup_lifting.config import Config, Method

# Files with an axis that points up; files in which `--fill` leaves no gaps; files with videos.
UPRIGHT, FILLED = {".trc", ".c3d", ".bvh", ".glb"}, {".trc", ".bvh", ".glb"}
FILMED = {".png", ".gif", ".mp4"}
# Groups of settings whose options do not have the name of the group.
UNNAMED = ("settings.", "read.", "triangulation.", "smoothing.", "calibration.")


class Unused(NamedTuple):
    """Options that have no effect in some cases.

    Attributes:
        kind: The commands that they belong to, or the settings of a run.
        names: Their places in it.
        when: When they have no effect.
        reason: The rest of a sentence that begins with the name; `{0}` is the whole.
    """

    kind: type[Any] | tuple[type[Any], ...]
    names: tuple[str, ...]
    when: Callable[[Any], bool]
    reason: str


def _no_file(suffixes: set[str]) -> Callable[[Any], bool]:
    """Return a function that tells whether `out` names no file of these kinds."""
    return lambda one: not suffixes & {Path(path).suffix for path in one.out}


def _start(options: TrainOptions | CalibrateOptions) -> Start | None:
    return options.start if isinstance(options, CalibrateOptions) else options.calibrate


_CALIBRATING, _READING = (TrainOptions, CalibrateOptions), (Options, Config)

TABLE = (
    Unused(
        TrackOptions, ("fill",), _no_file(FILLED),
        "leaves no gaps in .trc, .bvh and .glb files, and `out` names none: --fill-gaps-3d fills "
        "those of a track",
    ),
    Unused(
        TrackOptions, ("up",), _no_file(UPRIGHT),
        "is the axis up of .trc, .c3d, .bvh and .glb files, and `out` names none",
    ),
    Unused(
        PredictOptions, ("up",), lambda one: one.coordinates != "world",
        "is an axis of the world, and the tracks are in `coordinates` {0.coordinates}: choose "
        "--coordinates world, or leave it out",
    ),
    Unused(
        TrackOptions, ("marker_names", "smoothing.fill_gaps_3d", "smoothing.cutoff_hz"),
        lambda one: not one.out and getattr(one, "keypoints", "") != "-",
        "changes the written 3D tracks, and not the printed errors, and `out` names no file",
    ),
    Unused(
        ViewOptions, ("video",), lambda one: bool(one.paths) and _no_file(FILMED)(one),
        "is shown in .png, .gif and .mp4 files, and `out` names none; a page takes videos when it "
        "is open",
    ),
    Unused(
        (TriangulateOptions, ViewOptions, Config), ("triangulation.threshold_px",),
        lambda one: one.triangulation.method not in {Method.ROBUST, Method.REFINED},
        "removes outliers, which `method` {0.triangulation.method.value} does not: leave it out, "
        "or choose robust or refined",
    ),
    Unused(
        PredictOptions, ("view",), lambda one: one.read.filmed_by is not None,
        "chooses one of several cameras, and `filmed_by` {0.read.filmed_by} names the camera of a "
        "single track: give one of the two",
    ),
    Unused(
        CalibrateOptions, ("format",), lambda one: not one.out,
        "is the format of the files in `out`, which names none",
    ),
    Unused(
        CalibrateOptions, ("read.unit",), lambda one: one.start is not Start.CALIBRATION,
        "is the unit of the given positions, which `start` {0.start.value} ignores: --stature, "
        "--bone or --distance gives the scale",
    ),
    Unused(
        _CALIBRATING, ("calibration.threshold_px",),
        lambda one: _start(one) in {Start.CALIBRATION, Start.IMAGE_SIZE},
        "removes outliers while cameras are placed from their intrinsics: leave it out, or start "
        "from intrinsics",
    ),
    Unused(
        _CALIBRATING, ("calibration.free",), lambda one: _start(one) is Start.IMAGE_SIZE,
        "names what may change of the given intrinsics, and a start from image-size ignores them: "
        "it finds the focal lengths, and nothing else of a lens; leave it out",
    ),
    Unused(
        AblateOptions, ("settings.overwrite",), lambda _: True,
        "replaces no training of an ablation, which uses finished ones again: choose another --run",
    ),
    Unused(
        Config, ("steps",), lambda one: one.epochs is not None,
        "has no effect beside `epochs`, which is {0.epochs} (perhaps by the recipe or the preset): "
        "give --epochs None too, or leave it out",
    ),
    Unused(
        Config, ("losses.labels", "losses.partial_views"), lambda one: one.losses.input == 0,
        "is for L_in, whose weight `losses.input` is 0",
    ),
    Unused(
        Config, ("losses.input_norm",), lambda one: one.losses.input == one.losses.output == 0,
        "is for L_in and L_out, whose weights `losses.input` and `losses.output` are 0",
    ),
    Unused(
        Config, ("losses.consistency_with_labels",), lambda one: one.losses.consistency == 0,
        "is for L_con, whose weight `losses.consistency` is 0",
    ),
    Unused(
        Config, ("losses.output_share", "losses.output_of_detections"),
        lambda one: one.losses.output == 0,
        "is for L_out, whose weight `losses.output` is 0",
    ),
    Unused(
        Config, ("losses.detach_targets",),
        lambda one: one.losses.consistency == one.losses.output == 0,
        "is for L_con and L_out, whose weights `losses.consistency` and `losses.output` are 0",
    ),
    Unused(
        _READING, ("read.noise.outlier_px",), lambda one: one.read.noise.outlier_share == 0,
        "is the size of outliers, whose `noise.outlier_share` is 0",
    ),
    Unused(
        _READING, ("read.noise.drift_frames",), lambda one: one.read.noise.drift_px == 0,
        "is how long a drift lasts, whose `noise.drift_px` is 0",
    ),
    Unused(
        _READING, ("read.noise.occlusion_frames",),
        lambda one: one.read.noise.occluded_share == one.read.noise.swapped_share == 0,
        "is the length of sequences whose `noise.occluded_share` and `noise.swapped_share` are 0",
    ),
)  # fmt: skip


def require_effect(options: Options, usual: Sequence[Config] = ()) -> None:
    """Refuse an option that has no effect beside the others; one at its default is never refused.

    Of an ablation, a setting needs an effect in one of the variants that have it.

    Args:
        options: The options of a command.
        usual: Settings that nobody asked for, such as those of a recipe.

    Raises:
        ValueError: If an option has no effect; the message says why.
    """
    for rule in TABLE:
        for name in rule.names:
            cases = (one for one in (options, *_settings(options)) if isinstance(one, rule.kind))
            given = [one for one in cases if _is_given(one, name, usual)]
            if given and all(map(rule.when, given)):
                raise ValueError(f"`{_shown(name)}` {rule.reason.format(given[0])}")


def _settings(options: Options) -> Iterator[Config]:
    """Yield the settings of a training, or of each variant of an ablation."""
    if isinstance(options, AblateOptions) and options.vary is not None:
        from selfsup_lifting.evaluation.ablation import varied  # imports torch

        yield from (variant.config for variant in varied(options.settings, options.vary))
    elif isinstance(options, TrainOptions | AblateOptions):
        yield options.settings


def _is_given(one: Any, name: str, usual: Sequence[Config]) -> bool:  # noqa: ANN401 - options or settings
    """Return whether the value of an option is none of the usual ones; if it has this option."""
    group, _, leaf = name.rpartition(".")
    first = name.partition(".")[0]
    if not hasattr(one, first):
        return False
    owner = attrgetter(group)(one) if group else one
    value = getattr(owner, leaf)
    default = next(field.default for field in fields(owner) if field.name == leaf)
    same_kind = [attrgetter(name)(other) for other in usual if isinstance(one, Config)]
    return value not in (default, *same_kind)


def _shown(name: str) -> str:
    for prefix in UNNAMED:
        name = name.removeprefix(prefix)
    return name
