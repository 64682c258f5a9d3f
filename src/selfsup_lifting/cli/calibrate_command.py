"""The command that calibrates cameras from the people whom they saw."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path
from typing import NamedTuple

from rich.table import Table

from multiview_geom import Cameras, read_camera_file, save_cameras
from multiview_geom.camera_files import format_of_suffix
from selfsup_lifting.atomic_write import require_target
from selfsup_lifting.calibration_settings import CalibrationSettings, Start
from selfsup_lifting.cli.options import CalibrateOptions, TrainOptions
from selfsup_lifting.cli.output import (
    command_line,
    messages,
    print_json,
    require_report,
    results,
)
from selfsup_lifting.cli.reading_progress import read_recordings
from selfsup_lifting.cli.saving import require_no_detections
from selfsup_lifting.cli.tables import plain_table
from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.evaluation.inspection_warnings import warnings_about_places
from selfsup_lifting.files.reading import USUAL
from selfsup_lifting.plots.rig import save_rigs_from_above
from selfsup_lifting.read_settings import People, ReadSettings, meters_per_unit
from selfsup_lifting.reader import merged_notes
from selfsup_lifting.recording import Recording
from selfsup_lifting.report.calibration_report import save_calibration_report
from selfsup_lifting.self_calibration.measure import CalibrationReport
from selfsup_lifting.self_calibration.solve import calibrate_cameras
from selfsup_lifting.simulation.detector_noise import has_simulated
from selfsup_lifting.training.distributed import process_count

# The cameras that a training calibrated, in its run folder.
CAMERAS_FILE = "cameras.toml"


def calibrate(options: CalibrateOptions) -> None:
    """Calibrate cameras, print how good they are, and write them."""
    _require_new(options)
    recordings = _without_poses([options.path], options.read, options.start)
    for sentence in merged_notes([(one.name, [*warnings_about_places(one)]) for one in recordings]):
        messages.print(f"warning: {sentence}")
    given = recordings[0].cameras
    units = [_unit_of(path, options.format, given) for path in options.out]
    report = calibrate_cameras(recordings, options.calibration, options.start)
    for path, unit in zip(options.out, units, strict=True):
        written = report.cameras.scaled(1 / unit if report.is_metric else 1.0)
        path.parent.mkdir(parents=True, exist_ok=True)
        save_cameras(path, written, format=options.format)
        messages.print(f"wrote {path}")
    before = given if options.start is Start.CALIBRATION else None
    if options.picture is not None:
        save_rigs_from_above(options.picture, report.cameras, before)
        messages.print(f"wrote {options.picture}")
    if options.report is not None:
        save_calibration_report(
            options.report, report, recordings, before,
            settings=options.calibration, command=command_line(),
        )  # fmt: skip
        messages.print(f"wrote {options.report}")
    if options.json:
        print_json(report.as_dict())
        return
    results.print(_table(report))
    for line in _summary(report, saved=bool(options.out)):
        results.print(line, soft_wrap=True)


class TrainingData(NamedTuple):
    """The settings, the recordings and further files of a training."""

    config: Config
    recordings: list[Recording]
    files: Mapping[str, bytes]


def training_data(options: TrainOptions, folder: Path) -> TrainingData:
    """Read the recordings of a training; calibrate their cameras first, if that is asked for.

    Args:
        options: The options of the training.
        folder: The run folder, which gets the cameras with the first checkpoint.

    Raises:
        ValueError: If the recordings do not determine the cameras, their scale is unknown, or the
            cameras are not real ones.
    """
    config = options.settings
    if options.calibrate is None:
        if options.calibration != CalibrationSettings():
            raise ValueError(
                "`calibration` says how cameras are calibrated, but they are not: --calibrate "
                "intrinsics, image-size or calibration does it"
            )
        usual = USUAL if options.resume is None else load_config(options.resume).read
        return TrainingData(config, read_recordings(config.data, config.read, usual), {})
    report = _calibrated(options, options.calibrate)
    # What follows from the settings must be read with the new cameras, in meters.
    read = replace(config.read, unit="m")
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / CAMERAS_FILE
        save_cameras(path, report.cameras)
        recordings = read_recordings(config.data, replace(read, cameras=path))
        files = {CAMERAS_FILE: path.read_bytes()}
    return TrainingData(
        replace(config, read=replace(read, cameras=folder / CAMERAS_FILE)), recordings, files
    )


def _calibrated(options: TrainOptions, start: Start) -> CalibrationReport:
    """Calibrate the cameras of a training, and print how good they are."""
    if options.resume is not None or process_count() > 1:
        raise ValueError(
            "`calibrate` must begin a training in one process: a run keeps the cameras that it "
            "began with; for several processes, `selfsup-lifting calibrate` writes a file for "
            "--cameras"
        )
    config, scale = options.settings, options.calibration
    has_length = {scale.stature, scale.bone, scale.distance} != {None}
    if start is not Start.CALIBRATION and not has_length:
        raise ValueError(
            "`calibrate` needs a length that gives the scale: --calibration.stature, "
            "--calibration.bone or --calibration.distance"
        )
    recordings = _without_poses(config.data, config.read, start)
    if has_simulated(recordings):
        raise ValueError("`calibrate` needs recordings of real cameras, got simulated ones")
    report = calibrate_cameras(recordings, options.calibration, start)
    before = "" if isnan(report.held_out_before_px) else f"{report.held_out_before_px:.1f} -> "
    messages.print(
        f"calibrated {report.cameras.views} cameras, starting from {start.value}: median "
        f"reprojection error on held-out frames {before}{report.held_out_after_px:.1f} px; scale "
        f"from {report.scale}"
    )
    for note in report.notes:
        messages.print(f"warning: {note}")
    return report


def _without_poses(paths: Sequence[str], settings: ReadSettings, start: Start) -> list[Recording]:
    """Read recordings; unless the poses of the cameras are given, with the largest person.

    Which person is consistent between views is known with calibrated cameras only.
    """
    is_chosen = settings.people is not People.CONSISTENT or settings.person is not None
    if start is Start.CALIBRATION or is_chosen:
        return read_recordings(paths, settings)
    largest = replace(settings, people=People.LARGEST)
    return read_recordings(paths, largest, ReadSettings(people=People.LARGEST))


def _require_new(options: CalibrateOptions) -> None:
    """Refuse files that exist, before any work is done."""
    if options.picture is not None and options.picture.suffix != ".png":
        raise ValueError(f"`picture` must be a .png file, got {options.picture}")
    require_report(options.report, overwrite=options.overwrite)
    for path in (*options.out, *filter(None, [options.picture])):
        require_target(path, overwrite=options.overwrite)
        require_no_detections(path)
    for path in options.out if options.format is not None else ():
        own = format_of_suffix(path)
        if own is not None and own.name != options.format:
            raise ValueError(
                f"`format` {options.format} contradicts the name {path}, which is that of "
                f"{own.title}: leave `format` out, or name another file or folder"
            )


def _unit_of(path: Path, format: str | None, cameras: Cameras) -> float:
    """Return the unit of length of a file to be written [m]; refuse one that cannot be written."""
    with tempfile.TemporaryDirectory() as folder:
        trial = Path(folder) / path.name
        save_cameras(trial, cameras, format=format)
        return meters_per_unit(read_camera_file(trial).unit or "m")


def _table(report: CalibrationReport) -> Table:
    unit = "mm" if report.is_metric else "1e-3"
    headings = (
        "", "fitted [px]", "held out [px]", f"moved [{unit}]", "turned [deg]", "focal [px]",
    )  # fmt: skip
    lines = [
        (
            name,
            _arrow(row.before_px, row.after_px),
            _arrow(row.held_out_before_px, row.held_out_after_px),
            _spread(1000 * row.moved, 1000 * row.moved_sigma, 1),
            _spread(row.turned_deg, row.turned_sigma_deg, 2),
            _spread(row.focal_px, row.focal_sigma_px, 1),
        )
        for name, row in report.per_camera.items()
    ]
    everything = _arrow(report.held_out_before_px, report.held_out_after_px)
    return plain_table("Median reprojection error", headings, *lines, ("all", "", everything))


def _arrow(before: float, after: float) -> str:
    return f"{after:.1f}" if isnan(before) else f"{before:.1f} -> {after:.1f}"


def _spread(value: float, sigma: float, digits: int) -> str:
    """Format a value and its standard deviation; the value of a new camera is not known."""
    shown = "" if isnan(value) else f"{value:.{digits}f} "
    return f"{shown}± {sigma:.{digits}f}" if sigma > 0 else shown.strip()


def _summary(report: CalibrationReport, *, saved: bool) -> Iterator[str]:
    yield (
        f"scale from {report.scale}; vertical from {report.vertical}; noise of a detection "
        f"{report.noise_px:.1f} px; largest error in {report.worst}"
    )
    if report.is_metric and isnan(report.stature):
        yield "no person's legs, trunk and arms are seen: there is no stature to check the scale"
    elif report.is_metric:
        yield f"the person is about {report.stature:.2f} m tall, by legs, trunk and arms"
    else:
        yield "the unit of length is unknown: --stature, --bone or --distance gives it"
    yield "± is the standard deviation for independent noise; errors that persist make it larger"
    for note in report.notes:
        yield f"warning: {note}"
    if not saved:
        yield "nothing was saved; --out FILE saves the cameras"
