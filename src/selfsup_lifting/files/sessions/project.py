"""A project of Pose2Sim or anipose: folders of detections, configuration, calibration."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import torch

from multiview_geom import CameraFileError, CameraSource
from multiview_geom.camera_files import CAMERA_FORMATS
from multiview_geom.camera_files.toml_text import parse_toml
from selfsup_lifting.calibration import Rig, calibration_file, load_rig
from selfsup_lifting.files.detectors import find_format
from selfsup_lifting.parse.text import read_text
from selfsup_lifting.read_errors import Place, ReadError
from selfsup_lifting.read_settings import HIGHEST_FPS, LOWEST_FPS, ReadSettings
from selfsup_lifting.reader import ReadResult
from selfsup_lifting.skeleton.skeletons import SKELETONS

# The folders of detections in Pose2Sim, anipose and MMPose, the most refined first.
DETECTIONS = (
    "pose-associated", "pose-sync", "pose", "pose-2d-proj", "pose-2d-filtered", "pose-2d",
    "predictions",
)  # fmt: skip
CONFIGS = ("Config.toml", "config.toml")
# How Pose2Sim calls the models that it runs itself; those of the whole body begin with COCO's.
MODELS = {
    "bodywithfeet": "halpe26", "body": "coco17", "wholebody": "coco17", "wholebodywrist": "coco17",
}  # fmt: skip
# Calibrations beside data: `calibration/`, Pose2Sim's `S00_Calibration/`, `calib.toml`.
CALIBRATION_FOLDERS = ("calibration", "calib", "*_calibration")
# Also in EasyMocap's and OpenCV's files of intrinsics, which have their poses beside them.
# FreeMoCap's name begins with that of the recording.
CALIBRATION_FILES = (
    "calib*", "camera*", "*_camera_calibration.toml", "intri.yml", "intrinsics.yml",
    "transforms.json", "*camchain*.yaml", "*.mcal", "*.xcp", "*.qca.txt", "*.calibration",
)  # fmt: skip
SUFFIXES = (
    ".toml", ".yaml", ".yml", ".json", ".xml", ".cal", ".h5", ".txt", ".mcal", ".xcp",
    ".mat", ".calibration",
)  # fmt: skip
# How many folders above the detections their configuration and calibration may be.
HIGHEST_PARENT = 3
# What makes matching a regular expression slow: repeats, and more so of groups with a choice.
MOST_REPEATS, LONGEST_SHOWN = 4, 60
_REPEAT = re.compile(r"(?<!\\)(?:[*+]|\{\d*,\d*\})")
_NESTED_REPEAT = re.compile(r"[*+}|][^()]*\)+(?:[*+]|\{\d*,\d*\})")


@dataclass(frozen=True)
class Project:
    """The folder of a project and its configuration.

    Attributes:
        folder: The folder.
        config: The tables of the configuration; empty if there is none.
        file: The file of the configuration, or the one nearest to the folder of several.
    """

    folder: Path
    config: Mapping[str, Any]
    file: Path | None = None

    @classmethod
    def of(cls, detections: Path) -> "Project":
        """Find the project of a folder of detections: the folder above `pose`, or else itself.

        Raises:
            ReadError: If the configuration, in the project or up to three folders above, is not a
                TOML file.
        """
        inside = detections.name in DETECTIONS
        folder = detections.resolve().parent if inside else detections
        homes = (folder, *folder.resolve().parents[:HIGHEST_PARENT])
        files = [path for home in homes for name in CONFIGS if (path := home / name).is_file()]
        return cls(folder, _config(files), next(iter(files), None))

    @property
    def fps(self) -> float | None:
        """The frames per second in the configuration [1/s]."""
        rate = self._value("project", "frame_rate")
        known = type(rate) in {int, float} and LOWEST_FPS <= rate <= HIGHEST_FPS
        return float(rate) if known else None

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes on what the configuration says, and what is not done."""
        values = {
            key: self._value(section, key)
            for section, key in (
                ("project", "frame_rate"), ("project", "frame_range"),
                ("project", "exclude_from_batch"), ("pose", "pose_model"),
                ("triangulation", "cam_regex"),
            )
        }  # fmt: skip
        rate, model = values["frame_rate"], values["pose_model"]
        no_rate = rate not in {None, "auto"} if isinstance(rate, str | None) else self.fps is None
        odd = {
            "frame_rate": no_rate
            and f"must be a number from {LOWEST_FPS:g} to {HIGHEST_FPS:g} or 'auto'",
            "frame_range": isinstance(values["frame_range"], list)
            and "is not applied: all frames are read",
            "exclude_from_batch": "is not applied: all trials are read",
            "pose_model": self.skeleton is None
            and str(model).lower() != "auto"
            and "is no built-in skeleton: the joints are found by their number or names",
            "cam_regex": (fault := _fault(values["cam_regex"]))
            and f"is no regular expression: {fault}",
        }
        return tuple(
            f"{self.file}: `{key}` of the project, {shortened(values[key])}, {what}"
            for key, what in odd.items()
            if what and values[key] not in (None, [], "")
        )

    @property
    def camera_pattern(self) -> str | None:
        """Anipose's regular expression for camera names; None if there is no valid one.

        Raises:
            ReadError: If matching it could take forever.
        """
        pattern = self._value("triangulation", "cam_regex")
        if _fault(pattern):
            return None
        if _NESTED_REPEAT.search(pattern) or len(_REPEAT.findall(pattern)) > MOST_REPEATS:
            raise Place(self.folder).error(
                f"expected `cam_regex` of config.toml without repeats in repeats, such as "
                f"-cam([A-Z]+)$, got {pattern[:LONGEST_SHOWN]!r}, which could take forever"
            )
        return str(pattern)

    @property
    def skeleton(self) -> str | None:
        """The skeleton in Pose2Sim's configuration, if it is a built-in one."""
        model = re.sub(r"[^a-z0-9]", "", str(self._value("pose", "pose_model")).lower())
        model = MODELS.get(model, model)
        return model if model in SKELETONS else None

    def without_face(self, result: ReadResult, settings: ReadSettings) -> ReadResult:
        """Leave out eyes and ears, as Pose2Sim does when it triangulates BODY_25B."""
        if settings.detected_skeleton is not None or self.skeleton != "body25b":
            return result
        return replace(result, recording=result.recording.to_skeleton(SKELETONS["pose2sim21"]))

    def _value(self, section: str, key: str) -> Any:  # noqa: ANN401 - any TOML value
        table = self.config.get(section)
        return table.get(key) if isinstance(table, dict) else None


def _fault(pattern: object) -> str:
    """Return why a value is no regular expression; empty if it is one."""
    if not isinstance(pattern, str):
        return "expected text"
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        return str(error)
    return ""


def find_rig(settings: ReadSettings, *folders: Path) -> Rig | None:
    """Read the calibration in the settings, or else the nearest one of the first folder with one.

    Raises:
        ReadError: If several calibrations are equally near, or it cannot be read.
    """
    found = settings.cameras or next(filter(None, map(find_calibration, folders)), None)
    if found is None:
        return None
    path, here = Path(found), Path.cwd()  # a script may name the file by a text
    named = path.relative_to(here) if path.is_relative_to(here) else path
    return load_rig(named, unit=settings.unit)


def find_calibration(folder: Path) -> Path | None:
    """Find the calibration of a folder: in it, or up to three folders above; None if there is none.

    Raises:
        ReadError: If several calibrations are equally near; the message names them.
    """
    folder = folder.resolve()
    for place in (folder, *folder.parents[:HIGHEST_PARENT]):
        found = calibrations_in(place)
        if len(found) > 1:
            names = ", ".join(str(file.relative_to(place)) for file in found)
            if all(map(_is_of_one_camera, found)):
                blind = not any(map(_has_pose, found))
                where = ", which do not say where the cameras are" if blind else ""
                poses = "; its poses may be any if `calibrate --start intrinsics` finds them"
                raise Place(place).error(
                    f"expected one calibration of all cameras, got files of one camera each, "
                    f"{names}{where}: write one file with all of them{poses if blind else ''}"
                )
            raise Place(place).error(
                f"expected one calibration, got several: {names}; choose one with --cameras"
            )
        if found:
            return found[0]
    return None


def _config(files: Sequence[Path]) -> Mapping[str, Any]:
    """Read the first of the configurations of a project and of folders above it."""
    if not files:
        return {}
    found = _parsed(files[0])
    # In a batch of Pose2Sim, the configuration of a trial changes those above it.
    above = [file for file in files[1:] if file.name == files[0].name == CONFIGS[0]]
    for section, table in ((one, table) for file in above for one, table in _parsed(file).items()):
        own = found.get(section, {})
        if isinstance(table, dict) and isinstance(own, dict):
            found[section] = {**table, **own}
    return found


def _parsed(path: Path) -> dict[str, Any]:
    try:
        return dict(parse_toml(read_text(path)))
    except ReadError:
        raise
    except ValueError as error:
        raise Place(path).damaged("a TOML file", error) from error


def calibrations_in(folder: Path) -> list[Path]:
    """List the calibration files of a folder that have the most likely suffix."""
    inside = [path for path in _named_like(folder, CALIBRATION_FOLDERS) if path.is_dir()]
    files = [[one] if _is_rig(one) else _most_likely(one.glob("*")) for one in inside]
    files.append(_most_likely(_named_like(folder, CALIBRATION_FILES)))
    files.append([folder / name for name in CONFIGS if _holds_cameras(folder / name)])
    likely = next(filter(None, files), [])
    if len(likely) == 1:
        return [folder if _is_rig(folder, likely[0].name) else likely[0]]
    # Detections may be named like a calibration: Camera0.json.
    return [one for one in likely if find_format(one) is None]


def _named_like(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """List what a folder holds with a name of these patterns, in any case, in their order."""
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    found = ([one for one in names if fnmatchcase(one.lower(), each)] for each in patterns)
    return [folder / one for alike in found for one in sorted(alike)]


def _is_rig(folder: Path, file: str = "") -> bool:
    """Return whether a folder is one calibration: a file per camera, or files of two kinds.

    With the name of a file, it must be one of two kinds of files.
    """
    source = CameraSource(folder)
    formats = [one for one in CAMERA_FORMATS if one.files]
    if file:
        formats = [one for one in formats if file in one.files.split(" and ")]
    try:
        return any(format.recognizes(source) for format in formats)
    except CameraFileError:
        return False  # a damaged file is reported where it is read


def is_calibration(file: Path) -> bool:
    """Return whether a file is a sound calibration of any format, whatever its name."""
    try:
        calibration_file(file)
    except (ValueError, OSError):
        return False
    return True


def _is_of_one_camera(file: Path) -> bool:
    """Return whether a file has one camera, and so no poses relative to others."""
    try:
        return calibration_file(file).cameras.views == 1
    except (ValueError, OSError):
        return False  # a damaged file is reported where it is read


def _has_pose(file: Path) -> bool:
    """Return whether the file of one camera says where it is."""
    pose = calibration_file(file).cameras.camera_from_world[0]
    return not torch.equal(pose, torch.eye(4).to(pose))


def _holds_cameras(config: Path) -> bool:
    """Return whether a configuration is one of caliscope's, which contains the cameras."""
    if not config.is_file():
        return False
    try:
        tables = [*parse_toml(read_text(config)).values()]
    except ValueError:
        return False  # a damaged configuration is reported where it is read as one
    return any(isinstance(one, dict) and {"matrix", "port"} <= one.keys() for one in tables)


def _most_likely(paths: Iterable[Path]) -> list[Path]:
    files = sorted({path for path in paths if path.is_file()})
    by_suffix = ([one for one in files if one.suffix.lower() == suffix] for suffix in SUFFIXES)
    return next(filter(None, by_suffix), [])
