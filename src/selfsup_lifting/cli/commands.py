"""One function per command: read the data, do the work, print the results."""

import json
import shlex
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from functools import partial, singledispatch
from pathlib import Path
from typing import Any

from jaxtyping import Float
from rich.console import Console
from rich.text import Text
from torch import Tensor

from multiview_geom import camera_to_world
from selfsup_lifting.agreement import camera_agreement, require_agreement
from selfsup_lifting.cli.options import (
    PROGRAM,
    AblateOptions,
    EvaluateOptions,
    InspectOptions,
    Options,
    PredictOptions,
    ResultOptions,
    TrainOptions,
    TriangulateOptions,
    ViewOptions,
    choose,
    frame_slice,
)
from selfsup_lifting.cli.progress import show_progress
from selfsup_lifting.cli.saving import outputs_of, require_outputs, save_outputs
from selfsup_lifting.cli.tables import (
    ablation_cells,
    error_table,
    evaluation_summary,
    expected_error,
    inspection_parts,
    plain_table,
    residual_tables,
    result_table,
)
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.config_toml import explained, load_config
from selfsup_lifting.evaluation.ablation import ablate as run_ablation
from selfsup_lifting.evaluation.ablation import loss_steps, varied
from selfsup_lifting.evaluation.evaluate import Evaluation, evaluate_lifter, nan_to_none
from selfsup_lifting.evaluation.inspection import (
    Inspection,
    RigInspection,
    inspect_calibration,
    inspect_source,
    warnings_about_geometry,
)
from selfsup_lifting.evaluation.published_tables import evaluate_for, split_for
from selfsup_lifting.evaluation.table_files import require_table, save_tables
from selfsup_lifting.export import AXES
from selfsup_lifting.files import read_recordings
from selfsup_lifting.files.sessions.project import calibrations_in
from selfsup_lifting.inference import lift, placed_in_camera
from selfsup_lifting.point_quality import point_quality
from selfsup_lifting.read_errors import ReadError, UnrecognizedError
from selfsup_lifting.recording import Recording
from selfsup_lifting.run_files import has_commit, read_commit
from selfsup_lifting.training.checkpoint import BEST_FILE, WEIGHTS_FILE, load_lifter
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train as train_lifter
from selfsup_lifting.training.loop import untrained_lifter
from selfsup_lifting.training.run_folder import planned_run
from selfsup_lifting.training.stopping import Stopped
from selfsup_lifting.triangulate import (
    Reconstruction,
    chunk_count,
    normalized_image,
    reconstruct,
    reprojection_errors,
)
from selfsup_lifting.viewer.pictures import shown_frames
from selfsup_lifting.viewer.saving import about_view, require_view, save_view
from selfsup_lifting.viewer.scene import read_scene

_messages = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
_results = Console(highlight=False)


@singledispatch
def run(options: Options) -> None:
    """Run the command that these options belong to."""
    raise TypeError(f"expected the options of a command, got {type(options).__name__}")


@run.register
def train(options: TrainOptions) -> None:
    """Train a lifter, and evaluate it on the held-out recordings before and after."""
    config = options.settings
    chosen = (
        planned_run(config, options.recipe)
        if options.resume is None
        else nullcontext(options.resume)
    )
    with chosen as folder:
        _train_in(folder, options)


def _train_in(folder: Path, options: TrainOptions) -> None:
    """Train in a run folder, and print the errors before and after."""
    config = options.settings
    recordings = read_recordings(config.data, config.read)
    for sentence in require_agreement(recordings, config.most_disagreement):
        _messages.print(sentence)
    split = split_for(config, recordings)
    _messages.print("\n".join([split.summary, *explained(config)]))
    done = read_commit(folder).epoch if options.resume is not None else 0
    if config.epochs is not None and 0 < config.epochs <= done:
        _messages.print(f"{folder} has {done} epochs: --epochs {config.epochs} adds none")
    untrained = untrained_lifter(split.training[0].skeleton, config).eval()
    before = evaluate_lifter(untrained, split.held_out)
    resume = options.resume is not None
    try:
        lifter = train_lifter(config, split.training, folder, resume=resume, progress=show_progress)
    except (KeyboardInterrupt, ValueError, OSError) as error:
        if has_commit(folder) or isinstance(error, KeyboardInterrupt):
            _messages.print(_how_to_continue(folder, error))
        raise
    after = evaluate_lifter(lifter, split.held_out)
    if options.json:
        _print_json({"run": str(folder), "before": before.as_dict(), "after": after.as_dict()})
        return
    rows = {"untrained": before.total, "trained": after.total}
    _results.print(error_table("Errors on the held-out recordings", rows))
    _results.print(evaluation_summary(after))
    _results.print(f"run folder: {folder}", soft_wrap=True)


def _how_to_continue(folder: Path, error: BaseException) -> str:
    """Describe what is saved of a training that did not end, and the command that continues it."""
    why = f"{error}; " if isinstance(error, Stopped) else ""
    if not has_commit(folder):
        return f"{why}nothing was saved"
    saved = read_commit(folder)
    step = f" and {saved.step} steps" if saved.step else ""
    command = shlex.join([PROGRAM, "train", "--resume", str(folder)])
    return f"{why}{folder} holds {saved.epoch} epochs{step}; continue with: {command}"


@run.register
def evaluate(options: EvaluateOptions) -> None:
    """Evaluate a run on its held-out recordings or on other data."""
    for path in options.out:
        require_table(path, overwrite=options.overwrite)
    weights = choose({"last": WEIGHTS_FILE, "best": BEST_FILE}, options.weights, "weights")
    lifter, config = load_lifter(options.run / weights), load_config(options.run)
    recordings = read_recordings(options.data or config.data, options.read)
    if not options.data:
        recordings = split_for(config, recordings).held_out
    recordings = [_frames_of(recording, options.frames) for recording in recordings]
    evaluation, tables = evaluate_for(lifter, recordings, config)
    for path in options.out:
        save_tables(path, evaluation, tables)
        _messages.print(f"wrote {path}")
    if options.json:
        _print_json(evaluation.as_dict())
        return
    for table in tables:
        _results.print(result_table(table), *table.notes, sep="\n")
    _results.print(evaluation_summary(evaluation))


@run.register
def predict(options: PredictOptions) -> None:
    """Lift one camera's 2D track to 3D, and compare it with the other views if there are any."""
    require_outputs(options)
    choose(AXES, options.coordinates, "coordinates")
    lifter = load_lifter(options.run)
    recordings = [
        recording
        if recording.skeleton.joints == lifter.skeleton.joints
        else recording.to_skeleton(lifter.skeleton)
        for recording in _recordings(options.keypoints, options)
    ]
    reports = {}
    for recording, paths in outputs_of(options, recordings):
        reports[recording.name] = _lifted(options, lifter, recording, paths)
    if options.json:
        _print_reports(reports)


@run.register
def triangulate(options: TriangulateOptions) -> None:
    """Triangulate recordings from all their views, and report the reprojection errors."""
    require_outputs(options)
    reports = {}
    for recording, paths in outputs_of(options, _recordings(options.path, options)):
        reports[recording.name] = _triangulated(options, recording, paths)
    if options.json:
        _print_reports(reports)


@run.register
def view(options: ViewOptions) -> None:
    """Write pages, pictures and videos that show recordings and 3D tracks."""
    outputs = options.out or (Path(f"{Path(options.paths[0]).stem or 'view'}.html"),)
    for path in outputs:
        require_view(path, overwrite=options.overwrite)
    scene = read_scene(
        options.paths, options.read, options.triangulation,
        frames=frame_slice(options.frames), up=options.up,
    )  # fmt: skip
    for path in outputs:
        images = len(shown_frames(path, scene))
        with _progress(images, "image") as done:
            save_view(path, scene, done=done)
        _messages.print(f"wrote {path}: {about_view(path, scene)}")
    if options.json:
        bodies = [body.name for body in scene.bodies]
        _print_json({"files": [*map(str, outputs)], "frames": scene.frame_count, "bodies": bodies})


@run.register
def inspect(options: InspectOptions) -> None:
    """Show what a file or folder holds, what is missing, and which camera looks wrong."""
    found = _inspected(options.path, options.read)
    if options.json:
        _print_json(asdict(found))
        return
    for part in inspection_parts(found):
        _results.print(part, soft_wrap=isinstance(part, Text))


@run.register
def ablate(options: AblateOptions) -> None:
    """Train with the losses added one by one, or with several values of a setting."""
    config = replace(options.settings, run=None)
    variants = loss_steps(config) if options.vary is None else varied(config, options.vary)
    folder = options.settings.run or Path("runs") / "ablation"
    try:
        rows = run_ablation(
            variants, options.seeds, folder,
            jobs=options.jobs, report=_messages.print, progress=show_progress,
        )  # fmt: skip
    except KeyboardInterrupt as stopped:
        _messages.print(f"{stopped}; the same command continues the ablation in {folder}")
        raise
    if options.json:
        _print_json({"run": str(folder), "rows": [vars(row) for row in rows]})
        return
    _results.print(plain_table("Ablation", *ablation_cells(rows)))


def _inspected(path: str, read: ReadSettings) -> Inspection | RigInspection:
    """Inspect a recording; where a path holds none, try it as a calibration."""
    try:
        return inspect_source(path, read)
    except ReadError as unread:
        place = Path(path)
        if not place.is_file() and not isinstance(unread, UnrecognizedError):
            raise
        found = calibrations_in(place) if place.is_dir() else []
        try:
            return inspect_calibration(found[0] if len(found) == 1 else place)
        except ValueError as invalid:
            if isinstance(unread, UnrecognizedError):
                raise unread from None
            raise ReadError(
                f"{unread}; nor is it a valid calibration: {invalid}", unread.details
            ) from None


def _recordings(path: str, options: ResultOptions) -> list[Recording]:
    recordings = read_recordings([path], options.read)
    return [_frames_of(recording, options.frames) for recording in recordings]


def _lifted(
    options: PredictOptions, lifter: Lifter, recording: Recording, paths: Sequence[Path]
) -> dict[str, Any]:
    """Lift one recording, save and print the result, and return it for scripts."""
    view = options.view or recording.cameras.names[0]
    single = recording.select_views([view])
    poses = lift(lifter, single.cameras, single.keypoints, single.confidence)[:, 0]
    placed = {name: _in_coordinates(name, poses, single) for name in (options.coordinates, "world")}
    quality = point_quality(single, reprojection_errors(single, placed["world"]))
    for line in save_outputs(options, paths, placed[options.coordinates], recording, quality):
        _messages.print(line)
    blind = int(poses.isnan().flatten(1).any(dim=1).sum())
    errors = _errors_against_all_views(lifter, options.run, recording, view)
    frames = recording.frame_count
    if not options.json:
        _results.print(f"lifted {frames} frames of camera {view}; {blind} frames had no detection")
    if errors and not options.json:
        rows = {name: evaluation.total for name, evaluation in errors.items()}
        _results.print(error_table("Errors of the lifted poses", rows))
        _results.print(evaluation_summary(errors["trained"]))
    plain = {name: evaluation.as_dict() for name, evaluation in errors.items()}
    return {"view": view, "frames": frames, "blind_frames": blind, **plain}


def _triangulated(
    options: TriangulateOptions, recording: Recording, paths: Sequence[Path]
) -> dict[str, Any]:
    """Triangulate one recording, save and print the result, and return it for scripts."""
    reconstruction = _reconstructed(options, recording)
    agreement = camera_agreement(recording)
    warnings = warnings_about_geometry(recording, agreement)
    saved = save_outputs(options, paths, reconstruction.points, recording, reconstruction.quality)
    for line in (*warnings, *saved):
        _messages.print(line)
    disagree = agreement is not None and agreement.is_bad
    if not options.json:
        for table in residual_tables(reconstruction):
            _results.print(table)
        _results.print(expected_error(reconstruction, disagree=disagree))
    expected = {"expected_error_mm": None} if disagree else {}
    return {**reconstruction.as_dict(), **expected, "warnings": warnings}


def _reconstructed(options: TriangulateOptions, recording: Recording) -> Reconstruction:
    """Triangulate one recording, with the progress of a long one."""
    with _progress(chunk_count(recording), "part") as done:
        reconstruction = reconstruct(recording, options.triangulation, done=done)
    if reconstruction.total.sightings == 0:
        raise ValueError(
            f"no joint of {recording.name} is seen by two cameras in any frame; likely causes: a "
            "confidence threshold above all scores, cameras that are not synchronized, or nobody "
            "in view"
        )
    return reconstruction


@contextmanager
def _progress(parts: int, unit: str) -> Iterator[Callable[[], None]]:
    """Show the progress of long work; yield a function to call after each part."""
    if parts < 2:  # noqa: PLR2004 - one part has no progress
        yield lambda: None
        return
    with show_progress(parts, 0, unit) as show:
        yield partial(show, "")


def _print_reports(reports: Mapping[str, Mapping[str, Any]]) -> None:
    """Print the report of one recording, or those of several by name."""
    only = next(iter(reports.values()))
    _print_json(only if len(reports) == 1 else {"recordings": reports})


def _frames_of(recording: Recording, frames: str) -> Recording:
    chosen = recording.frames(frame_slice(frames))
    if chosen.frame_count == 0:
        raise ValueError(
            f"`frames` {frames} chooses none of the {recording.frame_count} frames of "
            f"{recording.name}"
        )
    return chosen


def _in_coordinates(
    coordinates: str, poses: Float[Tensor, "frames joints 3"], single: Recording
) -> Float[Tensor, "frames joints 3"]:
    """Transform root-relative poses of one view to another coordinate frame."""
    if coordinates == "root":
        return poses
    image = normalized_image(single.cameras, single.keypoints)[:, 0].float()
    placed = placed_in_camera(poses, image)
    if coordinates == "camera":
        return placed
    return camera_to_world(single.cameras.camera_from_world[0], placed.double())


def _errors_against_all_views(
    lifter: Lifter, folder: Path, recording: Recording, view: str
) -> dict[str, Evaluation]:
    """Evaluate the trained and the untrained network, if there are other views to compare with."""
    if recording.cameras.views < 2:  # noqa: PLR2004 - one view has no other
        return {}
    untrained = untrained_lifter(lifter.skeleton, load_config(folder)).cpu().eval()
    return {
        "untrained": evaluate_lifter(untrained, [recording], view=view),
        "trained": evaluate_lifter(lifter, [recording], view=view),
    }


def _print_json(report: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(nan_to_none(report), allow_nan=False) + "\n")
