"""The shell: one function per command."""

import argparse
import difflib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import tyro
from jaxtyping import Float
from rich.console import Console
from rich.text import Text
from torch import Tensor

from multiview_geom import camera_to_world
from selfsup_lifting.cli.options import (
    AblateOptions,
    EvaluateOptions,
    InspectOptions,
    PredictOptions,
    TrainOptions,
    TriangulateOptions,
    chosen_frames,
)
from selfsup_lifting.cli.tables import (
    ablation_cells,
    benchmark_table,
    compared_with,
    error_table,
    expected_error,
    inspection_parts,
    plain_table,
    residual_tables,
)
from selfsup_lifting.config import Config, ReadSettings
from selfsup_lifting.config_toml import explained, load_settings
from selfsup_lifting.evaluation.ablation import ablate as run_ablation
from selfsup_lifting.evaluation.ablation import loss_steps, varied
from selfsup_lifting.evaluation.evaluate import Evaluation, evaluate_lifter, known
from selfsup_lifting.evaluation.inspection import (
    Inspection,
    RigInspection,
    inspect_calibration,
    inspect_source,
)
from selfsup_lifting.evaluation.published_tables import (
    evaluate_for,
    require_table,
    save_tables,
    split_for,
)
from selfsup_lifting.export import AXES, require_writable, save_tracks
from selfsup_lifting.files import read_recordings
from selfsup_lifting.inference import lift, placed_in_camera
from selfsup_lifting.recipes import PRESETS, RECIPES
from selfsup_lifting.reconstruction import reconstruct
from selfsup_lifting.recording import ReadError, Recording
from selfsup_lifting.training.checkpoint import (
    BEST_FILE,
    STATE_FILE,
    WEIGHTS_FILE,
    load_config,
    load_lifter,
)
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train as train_lifter
from selfsup_lifting.training.loop import untrained_lifter
from selfsup_lifting.training.run_folder import planned_run
from selfsup_lifting.triangulate import normalised_image

PROGRAM = "selfsup-lifting"
WRONG_INPUT, INTERRUPTED = 2, 130

Choice = TypeVar("Choice")
Options = TypeVar("Options")
RunOptions = TypeVar("RunOptions", EvaluateOptions, PredictOptions)

_messages = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
_results = Console(highlight=False)


def train(arguments: Sequence[str]) -> None:
    """Learn to lift one camera's 2D pose to 3D, from many cameras and no label."""
    defaults = TrainOptions(settings=_settings_before_options(arguments))
    options = _parsed("train", arguments, TrainOptions, defaults)
    config = options.settings
    run = options.resume or planned_run(config, options.recipe)
    split = split_for(config, read_recordings(config.data, config.read))
    _messages.print("\n".join([split.told, *explained(config)]))
    untrained = untrained_lifter(split.learned[0].skeleton, config).eval()
    before = evaluate_lifter(untrained, split.kept_out)
    try:
        lifter = train_lifter(config, split.learned, run, resume=options.resume is not None)
    except KeyboardInterrupt:
        begun = (run / STATE_FILE).is_file()
        hint = f"go on with: {PROGRAM} train --resume {run}" if begun else "nothing was learned yet"
        _messages.print(f"interrupted; {hint}")
        raise
    after = evaluate_lifter(lifter, split.kept_out)
    if options.json:
        _print_json({"run": str(run), "before": before.as_dict(), "after": after.as_dict()})
        return
    _results.print(
        error_table("Kept-out poses", {"untrained": before.total, "trained": after.total})
    )
    _results.print(compared_with(after))
    _results.print(f"run folder: {run}", soft_wrap=True)


def evaluate(arguments: Sequence[str]) -> None:
    """Compare a lifter's single-view predictions with the truth, or with all views together."""
    options = _with_read_settings_of_run("evaluate", arguments, EvaluateOptions)
    for path in options.out:
        require_table(path, overwrite=options.overwrite)
    weights = _named({"last": WEIGHTS_FILE, "best": BEST_FILE}, options.weights, "weights")
    lifter, config = load_lifter(options.run / weights), load_config(options.run)
    takes = read_recordings(options.data or config.data, options.read)
    if not options.data:
        takes = split_for(config, takes).kept_out
    takes = [_frames_of(take, options.frames) for take in takes]
    evaluation, tables = evaluate_for(options.data or config.data, lifter, takes, config)
    for path in options.out:
        save_tables(path, evaluation, tables)
        _messages.print(f"wrote {path}")
    if options.json:
        _print_json(evaluation.as_dict())
        return
    for table in tables:
        _results.print(benchmark_table(table), *table.notes, sep="\n")
    _results.print(compared_with(evaluation))


def predict(arguments: Sequence[str]) -> None:
    """Lift one camera's 2D track to 3D."""
    options = _with_read_settings_of_run("predict", arguments, PredictOptions)
    _require_writable(options.out, overwrite=options.overwrite)
    _named(AXES, options.frame, "frame")
    lifter = load_lifter(options.run)
    take = _take(options.keypoints, options.read, options.frames)
    if take.skeleton.joints != lifter.skeleton.joints:
        take = take.to_skeleton(lifter.skeleton)
    view = options.view or take.cameras.names[0]
    seen = take.select_views([view])
    poses = lift(lifter, seen.cameras, seen.keypoints, seen.confidence)[:, 0]
    tracks = _told_in(options.frame, poses, seen)
    _save(options.out, tracks, take, options.frame, overwrite=options.overwrite)
    blind = int(poses.isnan().flatten(1).any(dim=1).sum())
    errors = _distance_from_other_views(lifter, options.run, take, view)
    if options.json:
        plain = {name: evaluation.as_dict() for name, evaluation in errors.items()}
        _print_json({"view": view, "frames": take.frame_count, "blind_frames": blind, **plain})
        return
    _results.print(f"lifted {take.frame_count} frames of {view} alone; {blind} saw nothing")
    if errors:
        rows = {name: evaluation.total for name, evaluation in errors.items()}
        _results.print(error_table("How far the lifted poses lie off", rows))
        _results.print(compared_with(errors["trained"]))


def triangulate(arguments: Sequence[str]) -> None:
    """Triangulate a take from all its views, and tell each camera's reprojection error."""
    options = _parsed("triangulate", arguments, TriangulateOptions)
    _require_writable(options.out, overwrite=options.overwrite)
    take = _take(options.path, options.read, options.frames)
    reconstruction = reconstruct(take, options.triangulation)
    if reconstruction.total.sightings == 0:
        raise ValueError(
            f"no joint of {take.name} is seen by two cameras in any frame; likely a confidence "
            "threshold above all, frames that do not match, or nobody there"
        )
    tracks = reconstruction.points.float()
    _save(options.out, tracks, take, "world", overwrite=options.overwrite)
    if options.json:
        _print_json(reconstruction.as_dict())
        return
    for table in residual_tables(reconstruction):
        _results.print(table)
    _results.print(expected_error(reconstruction))


def inspect(arguments: Sequence[str]) -> None:
    """Tell what lies in a file or folder, what is missing, and which camera looks wrong."""
    options = _parsed("inspect", arguments, InspectOptions)
    try:
        found: Inspection | RigInspection = inspect_source(options.path, options.read)
    except ReadError as unread:
        if not Path(options.path).is_file():
            raise
        try:
            found = inspect_calibration(Path(options.path))
        except ValueError as broken:
            raise ReadError(f"{unread}; nor is it a sound calibration: {broken}") from None
    if options.json:
        _print_json(found.as_dict())
        return
    for part in inspection_parts(found):
        _results.print(part, soft_wrap=isinstance(part, Text))


def ablate(arguments: Sequence[str]) -> None:
    """Train with ever more of the paper's losses, or with several values of a setting."""
    defaults = AblateOptions(settings=_settings_before_options(arguments, "demo"))
    options = _parsed("ablate", arguments, AblateOptions, defaults)
    config = replace(options.settings, run=None)
    variants = loss_steps(config) if options.vary is None else varied(config, options.vary)
    folder = options.settings.run or Path("runs") / "ablation"
    rows = run_ablation(variants, options.seeds, folder, jobs=options.jobs, tell=_messages.print)
    if options.json:
        _print_json({"run": str(folder), "rows": [vars(row) for row in rows]})
        return
    _results.print(plain_table("Ablation", *ablation_cells(rows)))


COMMANDS: Mapping[str, Callable[[Sequence[str]], None]] = MappingProxyType(
    {
        "train": train,
        "evaluate": evaluate,
        "predict": predict,
        "triangulate": triangulate,
        "inspect": inspect,
        "ablate": ablate,
    }
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; wrong input ends it with one sentence and exit status 2."""
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments), ""]
    if name in {"", "-h", "--help"}:
        _results.print(_overview(), markup=False, soft_wrap=True)
        return
    try:
        _command(name)(rest[:-1])
    except (ValueError, OSError) as error:
        _messages.print(f"{PROGRAM}: {error}")
        sys.exit(WRONG_INPUT)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _command(name: str) -> Callable[[Sequence[str]], None]:
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise ValueError(f"no command {name!r}{hint}; commands are {', '.join(COMMANDS)}")
    return COMMANDS[name]


def _overview() -> str:
    told = [
        f"  {name:12} {(function.__doc__ or '').strip()}" for name, function in COMMANDS.items()
    ]
    return "\n".join(
        [f"usage: {PROGRAM} COMMAND ...", "", *told, "", f"{PROGRAM} COMMAND --help tells more."]
    )


def _settings_before_options(arguments: Sequence[str], preset: str | None = None) -> Config:
    """Return the settings that single options then change: of a recipe, a preset, a file, a run."""
    early = argparse.ArgumentParser(prog=f"{PROGRAM} train", add_help=False, allow_abbrev=False)
    for option in ("--recipe", "--preset", "--run"):
        early.add_argument(option)
    for option in ("--config", "--resume"):
        early.add_argument(option, type=Path)
    early.add_argument("--data", nargs="*")
    told, _ = early.parse_known_args(arguments)
    if told.resume is not None:
        _require_alone(told)
        return load_config(told.resume)
    preset = told.preset or preset or ("quick" if told.data or told.config else "demo")
    recipe = _named(RECIPES, told.recipe or "paper", "recipe")
    config = recipe(_named(PRESETS, preset, "preset")(Config()))
    return config if told.config is None else load_settings(told.config, config)


def _require_alone(told: argparse.Namespace) -> None:
    """Refuse options that a resumed run, which has its settings, would ignore."""
    for option in ("recipe", "preset", "config", "run"):
        if getattr(told, option) is not None:
            raise ValueError(
                f"`resume` goes on in {told.resume} with the settings of that run; `{option}` "
                "cannot be given beside it"
            )


def _named(choices: Mapping[str, Choice], name: str, what: str) -> Choice:
    if name not in choices:
        raise ValueError(f"`{what}` must be one of {', '.join(choices)}, got {name!r}")
    return choices[name]


def _parsed(
    command: str, arguments: Sequence[str], kind: type[Options], default: Options | None = None
) -> Options:
    """Read what a command was told, from scratch or as changes to options it starts from."""
    return tyro.cli(
        kind,
        prog=f"{PROGRAM} {command}",
        args=arguments,
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.EnumChoicesFromValues,),
    )


def _with_read_settings_of_run(
    command: str, arguments: Sequence[str], kind: type[RunOptions]
) -> RunOptions:
    """Parse the options of a command that reads data as a run did, unless told otherwise."""
    options = _parsed(command, arguments, kind)
    read = replace(load_config(options.run).read, cameras=None)
    return _parsed(command, arguments, kind, replace(options, read=read))


def _take(path: str, read: ReadSettings, frames: str) -> Recording:
    takes = read_recordings([path], read)
    if len(takes) > 1:
        names = ", ".join(take.name for take in takes[:3])
        raise ValueError(f"{path} holds {len(takes)} takes ({names}, ...); name one of them")
    return _frames_of(takes[0], frames)


def _frames_of(take: Recording, frames: str) -> Recording:
    chosen = take.frames(chosen_frames(frames))
    if chosen.frame_count == 0:
        raise ValueError(
            f"`frames` {frames} chooses none of the {take.frame_count} frames of {take.name}"
        )
    return chosen


def _told_in(
    frame: str, poses: Float[Tensor, "frames joints 3"], seen: Recording
) -> Float[Tensor, "frames joints 3"]:
    """Tell root-relative poses of one view in another frame of reference."""
    if frame == "root":
        return poses
    image = normalised_image(seen.cameras, seen.keypoints)[:, 0].float()
    placed = placed_in_camera(poses, image)
    if frame == "camera":
        return placed
    return camera_to_world(seen.cameras.camera_from_world[0].float(), placed)


def _distance_from_other_views(
    lifter: Lifter, run: Path, take: Recording, view: str
) -> dict[str, Evaluation]:
    """Compare with all views together, beside what the network knew before training."""
    if take.cameras.views < 2:  # noqa: PLR2004 - one view has no other
        return {}
    untrained = untrained_lifter(lifter.skeleton, load_config(run)).cpu().eval()
    return {
        "untrained": evaluate_lifter(untrained, [take], view=view),
        "trained": evaluate_lifter(lifter, [take], view=view),
    }


def _require_writable(paths: Sequence[Path], *, overwrite: bool) -> None:
    for place, path in enumerate(paths):
        require_writable(path, overwrite=overwrite)
        if path in paths[:place]:
            raise ValueError(f"`out` names {path} twice")


def _save(
    paths: Sequence[Path],
    tracks: Float[Tensor, "frames joints 3"],
    take: Recording,
    frame: str,
    *,
    overwrite: bool,
) -> None:
    for path in paths:
        save_tracks(
            path, tracks, skeleton=take.skeleton, fps=take.fps, frame=frame, overwrite=overwrite
        )
        _messages.print(f"wrote {path}")


def _print_json(report: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(known(report), allow_nan=False) + "\n")
