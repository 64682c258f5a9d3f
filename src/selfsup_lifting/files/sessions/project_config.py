"""What the configuration of a Pose2Sim or anipose project says of its detections."""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from selfsup_lifting.config import ReadSettings
from selfsup_lifting.files.parse.json_values import read_text
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.skeletons import SKELETONS

# Where Pose2Sim and anipose keep detections, the most refined first.
DETECTIONS = (
    "pose-associated", "pose-sync", "pose", "pose-2d-proj", "pose-2d-filtered", "pose-2d",
)  # fmt: skip
# Where calibrations lie beside data: `calibration/`, Pose2Sim's `S00_Calibration/`, `calib.toml`.
CALIBRATION_FOLDERS = ("[Cc]alibration", "[Cc]alib", "*_[Cc]alibration")
CALIBRATION_FILES = ("[Cc]alib*", "[Cc]amera*")
CALIBRATION_SUFFIXES = (".toml", ".yaml", ".yml", ".json", ".xml", ".cal", ".h5", ".txt")
CONFIGS = ("Config.toml", "config.toml")
# How many folders above the detections their configuration and calibration may lie.
HIGHEST_PARENT = 3

Config = Mapping[str, Any]


def project_of(folder: Path) -> Path:
    """Return the project to which a folder of detections belongs: above `pose`, else itself."""
    return folder.resolve().parent if folder.name in DETECTIONS else folder


def project_config(project: Path) -> Config:
    """Read the nearest configuration of Pose2Sim or anipose, there or above.

    Args:
        project: The folder of the project.

    Returns:
        Its tables; none where there is no configuration.

    Raises:
        ReadError: If the configuration is no TOML.
    """
    places = (project, *project.resolve().parents[:HIGHEST_PARENT])
    for path in (place / name for place in places for name in CONFIGS):
        if path.is_file():
            try:
                return tomllib.loads(read_text(path))
            except ReadError:
                raise
            except ValueError as error:
                raise ReadError(f"{path}: {error}") from error
    return {}


def config_value(config: Config, section: str, key: str) -> Any:  # noqa: ANN401 - whatever TOML holds
    """Return a value of a table; None where there is none."""
    table = config.get(section)
    return table.get(key) if isinstance(table, dict) else None


def frame_rate(config: Config) -> float | None:
    """Return the frames per second that the project tells [1/s]."""
    rate = config_value(config, "project", "frame_rate")
    return float(rate) if isinstance(rate, int | float) and rate > 0 else None


def with_pose_model(settings: ReadSettings, config: Config) -> ReadSettings:
    """Let the project say what the joints are, unless the user does."""
    if settings.detected_skeleton is not None:
        return settings
    return replace(settings, detected_skeleton=_pose_model(config))


def without_face(take: ReadResult, settings: ReadSettings, config: Config) -> ReadResult:
    """Leave out eyes and ears, as Pose2Sim does when it triangulates BODY_25B."""
    if settings.detected_skeleton is not None or _pose_model(config) != "body25b":
        return take
    return replace(take, recording=take.recording.to_skeleton(SKELETONS["pose2sim21"]))


def _pose_model(config: Config) -> str | None:
    """Return the skeleton that Pose2Sim's configuration names, where it is known here."""
    model = re.sub(r"[^a-z0-9]", "", str(config_value(config, "pose", "pose_model")).lower())
    return model if model in SKELETONS else None


def find_calibration(folder: Path) -> Path | None:
    """Find the calibration of a folder of detections: in it, or up to three folders above.

    Args:
        folder: The folder of the detections.

    Returns:
        The file; None if there is none.

    Raises:
        ReadError: If several calibrations are equally near; the sentence names them.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents[:HIGHEST_PARENT]):
        found = _calibrations_in(place)
        if len(found) > 1:
            names = ", ".join(str(file.relative_to(place)) for file in found)
            raise ReadError(
                f"{place}: expected one calibration, got several: {names}; choose with --cameras"
            )
        if found:
            return found[0]
    return None


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
