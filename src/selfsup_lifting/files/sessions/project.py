"""A project of Pose2Sim or anipose: folders of detections, configuration, calibration."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfsup_lifting.config import ReadSettings
from selfsup_lifting.files.parse.text import read_text
from selfsup_lifting.read_errors import Place, ReadError
from selfsup_lifting.reader import ReadResult
from selfsup_lifting.skeleton.skeletons import SKELETONS

# The folders of detections in Pose2Sim and anipose, the most refined first.
DETECTIONS = (
    "pose-associated", "pose-sync", "pose", "pose-2d-proj", "pose-2d-filtered", "pose-2d",
)  # fmt: skip
CONFIGS = ("Config.toml", "config.toml")
# Calibrations beside data: `calibration/`, Pose2Sim's `S00_Calibration/`, `calib.toml`.
CALIBRATION_FOLDERS = ("[Cc]alibration", "[Cc]alib", "*_[Cc]alibration")
CALIBRATION_FILES = ("[Cc]alib*", "[Cc]amera*")
CALIBRATION_SUFFIXES = (".toml", ".yaml", ".yml", ".json", ".xml", ".cal", ".h5", ".txt")
# How many folders above the detections their configuration and calibration may be.
HIGHEST_PARENT = 3

Config = Mapping[str, Any]


def project_of(folder: Path) -> Path:
    """Return the project of a folder of detections: the folder above `pose`, or else itself."""
    return folder.resolve().parent if folder.name in DETECTIONS else folder


def project_config(project: Path) -> Config:
    """Read the nearest configuration, in the project or above it.

    Args:
        project: The folder of the project.

    Returns:
        The tables of the configuration; empty if there is none.

    Raises:
        ReadError: If the configuration is not a TOML file.
    """
    folders = (project, *project.resolve().parents[:HIGHEST_PARENT])
    files = [folder / name for folder in folders for name in CONFIGS]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return {}
    try:
        return tomllib.loads(read_text(path))
    except ReadError:
        raise
    except ValueError as error:
        raise Place(path).damaged("a TOML file", error) from error


def config_value(config: Config, section: str, key: str) -> Any:  # noqa: ANN401 - any TOML value
    """Return a value in a table of the configuration; None if there is none."""
    table = config.get(section)
    return table.get(key) if isinstance(table, dict) else None


def frame_rate(config: Config) -> float | None:
    """Return the frames per second in the configuration [1/s]."""
    rate = config_value(config, "project", "frame_rate")
    return float(rate) if isinstance(rate, int | float) and rate > 0 else None


def camera_pattern(config: Config) -> str | None:
    """Return anipose's regular expression for camera names; None if there is no valid one."""
    pattern = config_value(config, "triangulation", "cam_regex")
    try:
        re.compile(pattern)
    except (re.error, TypeError):
        return None
    return pattern if isinstance(pattern, str) else None


def with_pose_model(settings: ReadSettings, config: Config) -> ReadSettings:
    """Take the detector's skeleton from the configuration, unless the user declares it."""
    if settings.detected_skeleton is not None:
        return settings
    return replace(settings, detected_skeleton=_pose_model(config))


def without_face(result: ReadResult, settings: ReadSettings, config: Config) -> ReadResult:
    """Leave out eyes and ears, as Pose2Sim does when it triangulates BODY_25B."""
    if settings.detected_skeleton is not None or _pose_model(config) != "body25b":
        return result
    return replace(result, recording=result.recording.to_skeleton(SKELETONS["pose2sim21"]))


def find_calibration(folder: Path) -> Path | None:
    """Find the calibration of a folder of detections: in it, or up to three folders above.

    Args:
        folder: The folder of the detections.

    Returns:
        The file; None if there is none.

    Raises:
        ReadError: If several calibrations are equally near; the message names them.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents[:HIGHEST_PARENT]):
        found = _calibrations_in(place)
        if len(found) > 1:
            names = ", ".join(str(file.relative_to(place)) for file in found)
            raise Place(place).error(
                f"expected one calibration, got several: {names}; choose one with --cameras"
            )
        if found:
            return found[0]
    return None


def _pose_model(config: Config) -> str | None:
    """Return the skeleton in Pose2Sim's configuration, if it is a built-in one."""
    model = re.sub(r"[^a-z0-9]", "", str(config_value(config, "pose", "pose_model")).lower())
    return model if model in SKELETONS else None


def _calibrations_in(folder: Path) -> list[Path]:
    """List the calibration files of a folder that have the most likely suffix."""
    inside = [path for name in CALIBRATION_FOLDERS for path in folder.glob(name) if path.is_dir()]
    for holder in (*inside, folder):
        patterns: Sequence[str] = CALIBRATION_FILES if holder == folder else ("*",)
        files = [file for name in patterns for file in sorted(holder.glob(name)) if file.is_file()]
        for suffix in CALIBRATION_SUFFIXES:
            found = sorted({file for file in files if file.suffix.lower() == suffix})
            if found:
                return found
    return []
