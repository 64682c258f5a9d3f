"""What the configuration of a Pose2Sim or anipose project says of its detections."""

import re
import tomllib
from collections.abc import Mapping
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
CONFIGS = ("Config.toml", "config.toml")
# How far above the detections their configuration may lie.
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
