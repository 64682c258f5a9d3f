"""`predict RUN -`: a JSON object per frame in, a JSON object per frame out, without delay."""

import json
import logging
import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras, camera_to_world
from multiview_geom.camera_files.file_kinds import binary_kind
from multiview_geom.camera_files.json_text import parse_json
from selfsup_lifting.calibration import load_rig, selected
from selfsup_lifting.cli.options import PredictOptions, choose
from selfsup_lifting.cli.standard_streams import write_out
from selfsup_lifting.config_fields import differing
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.evaluation.evaluate import nan_to_none
from selfsup_lifting.export import AXES, standard_deviations
from selfsup_lifting.files.tracks.view_tracks import LARGEST_CONFIDENCE
from selfsup_lifting.inference import placed_in_camera, require_pixels
from selfsup_lifting.parse.json_values import LARGEST_NUMBER
from selfsup_lifting.read_errors import listed
from selfsup_lifting.safe_text import printable
from selfsup_lifting.stream import PoseStream, StreamedPose
from selfsup_lifting.training.checkpoint import load_lifter

STANDARD_INPUT = "-"
PLACE = "standard input, line"
# A joint is u, v, and perhaps its confidence.
JOINT_LENGTHS = (2, 3)
# Characters that are shown of a wrong value.
LONGEST_SHOWN = 60
# PowerShell begins its output with it.
BYTE_ORDER_MARK = "\ufeff"
UTF_16 = "text in UTF-16, as PowerShell writes it: convert it to UTF-8"
# Characters of a line, which may have hundreds of people; an endless one would fill the memory.
LONGEST_LINE = 2**24
# Digits of a coordinate: a tenth of a millimeter.
DIGITS = 4
# What a line may have; `frame`, which the answer has too, is counted, not read.
READ_KEYS = {"keypoints", "people"}

_log = logging.getLogger(__name__)


@torch.inference_mode()
def predict_stream(options: PredictOptions) -> None:
    """Lift every frame as it is read; each line names the joints that were not detected."""
    choose(AXES, options.coordinates, "coordinates")
    if sys.stdin is None:
        raise ValueError("`predict` from standard input needs one that is open, got a closed one")
    _require_used(options)
    lifter, camera = load_lifter(options.run), _camera(options)
    stream = PoseStream(lifter, camera, refine=options.refine)
    torch.set_num_threads(1)
    write_out("")  # says before anything is read that nobody could be answered
    lines = iter(partial(sys.stdin.readline, LONGEST_LINE + 1), "")
    for answer in answers(lines, stream, camera, options.coordinates):
        write_out(answer + "\n")


def answers(
    lines: Iterable[str], stream: PoseStream, camera: Cameras, coordinates: str
) -> Iterator[str]:
    """Answer each line, which has the people of a frame, with the pose of the followed person."""
    joints = stream.skeleton.joints
    unread: set[str] = set()
    frame = -1
    for frame, (number, line) in enumerate(_numbered(lines)):
        people, confidence = _parsed(line, number, len(joints), unread)
        require_pixels(f"{PLACE} {number}", camera, people, confidence)
        pose = stream.step(people, confidence)
        points = _placed(coordinates, pose, camera)
        held = [name for name, one in zip(joints, pose.held.tolist(), strict=True) if one]
        answer = {
            "frame": frame, "person": pose.person, "points": _plain(points), "held": held,
            "coordinates": coordinates, "unit": "m",
        }  # fmt: skip
        if pose.covariance is not None:
            deviations = standard_deviations(pose.covariance).double().round(decimals=DIGITS)
            answer["sigma"] = nan_to_none(deviations.tolist())
        yield json.dumps(answer)
    if frame < 0:
        _log.warning("standard input ended before its first line: no frame was lifted")


def _numbered(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines with their numbers, from 1; blank ones are passed over, and named once."""
    blank = None
    warned = False
    for number, line in enumerate(_decoded(lines), start=1):
        if not line.strip():
            blank = blank or number
            continue
        if blank is not None and not warned:  # not those at the end
            warned = True
            _log.warning(
                "%s %d: blank lines are passed over, and are no frames; a frame in which nobody is "
                'detected is {"people": []}', PLACE, blank,
            )  # fmt: skip
        yield number, line


def _decoded(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines; a ValueError says after which one the input is no text."""
    count = 0
    try:
        for line in lines:
            count += 1
            if len(line) > LONGEST_LINE:
                raise ValueError(
                    f"{PLACE} {count}: expected at most {LONGEST_LINE} characters, got more: the "
                    "input is not one JSON object per line"
                )
            yield line
    except UnicodeDecodeError as error:
        byte = f"the byte 0x{error.object[error.start]:02x}"
        kind = (
            binary_kind(error.object) or f"{byte}; likely cause: UTF-16, or a file that is no JSON"
        )
        raise ValueError(
            f"standard input, after line {count}: expected text in {error.encoding}, got {kind}"
        ) from None


def _require_used(options: PredictOptions) -> None:
    """Refuse options that change nothing in a stream, such as a file to write."""
    usual = replace(
        PredictOptions(run=options.run, keypoints=options.keypoints), view=options.view,
        coordinates=options.coordinates, refine=options.refine, json=options.json,
        read=options.read,
    )  # fmt: skip
    read = load_config(options.run).read
    used = ("cameras", "filmed_by", *(["unit"] if options.coordinates == "world" else []))
    camera = {name: getattr(options.read, name) for name in used}
    unused = [*differing(options, usual), *differing(options.read, replace(read, **camera))]
    if unused:
        raise ValueError(
            "a stream is lifted frame by frame to standard output; beside it, "
            f"{' and '.join(f'`{name}`' for name in unused)} cannot be given"
        )


def _camera(options: PredictOptions) -> Cameras:
    """Read the calibration of the camera that the frames come from."""
    if options.read.cameras is None:
        raise ValueError("`predict` from standard input needs a calibration: --cameras FILE")
    rig = load_rig(options.read.cameras, unit=options.read.unit)
    chosen, names = options.view or options.read.filmed_by, rig.cameras.names
    camera = selected(rig, [chosen or names[0]]).cameras
    for note in rig.notes:
        _log.warning("%s", note)
    if chosen is None and len(names) > 1:
        _log.warning(
            "the frames are taken to be those of %s, the first of the cameras %s: --view names "
            "another one", names[0], listed(names),
        )  # fmt: skip
    return camera


def _parsed(line: str, number: int, joints: int, unread: set[str]) -> tuple[Tensor, Tensor]:
    """Read the people of a frame: their pixels, and the confidences of their joints.

    Keys that are not read are added to `unread`, and a warning names those that are new there.
    """
    try:
        people, others = _people(line, joints)
        rows = [_joint(joint) for person in people for joint in person]
    except ValueError as error:
        raise ValueError(
            f"{PLACE} {number}: expected an object with `keypoints`, a list of {joints} joints "
            f"[u, v] or [u, v, confidence] or null, or with `people`, a list of such lists; {error}"
        ) from None
    values = torch.tensor(rows).reshape(len(people), joints, 3)
    if others - unread:
        _log.warning("%s %d: not read: %s", PLACE, number, listed(sorted(others - unread)))
        unread |= others
    return values[..., :2], values[..., 2]


def _people(line: str, joints: int) -> tuple[list[list[Any]], set[str]]:
    """Return the joints of each person, not yet checked, and the keys beside them.

    A ValueError says what came instead.
    """
    try:
        found = parse_json(line.removeprefix(BYTE_ORDER_MARK))
    except ValueError as error:
        kind = binary_kind(line.encode(errors="surrogateescape"))  # of standard input in C.UTF-8
        kind = kind or (UTF_16 if "\0" in line else None)
        raise ValueError(f"got {kind or f'no JSON, or a part of it: {error}'}") from None
    match found:
        case {"keypoints": list(person)} if "people" not in found:
            people = [person]
        case {"people": list(people)} if "keypoints" not in found:
            pass
        case _:
            raise ValueError(f"got {_shown(found)}")
    for person in people:
        if not isinstance(person, list) or len(person) != joints:
            count = f"{len(person)} joints: " if isinstance(person, list) else ""
            raise ValueError(f"got {count}{_shown(person)}")
    return people, {printable(key[:LONGEST_SHOWN]) for key in found} - READ_KEYS


def _joint(joint: Any) -> tuple[float, float, float]:  # noqa: ANN401 - any JSON
    if joint is None:
        return torch.nan, torch.nan, 0.0
    plain = isinstance(joint, list) and all(type(one) in {int, float} for one in joint)
    if not plain or len(joint) not in JOINT_LENGTHS or not all(one >= 0 for one in joint[2:]):
        raise ValueError(f"got the joint {_shown(joint)}")
    if any(LARGEST_NUMBER < abs(one) < math.inf for one in joint):
        raise ValueError(f"got the joint {_shown(joint)}, which is too large to be true")
    u, v, *rest = map(float, joint)
    if any(one > LARGEST_CONFIDENCE for one in rest):
        raise ValueError(f"got the joint {_shown(joint)}, whose confidence is not from 0 to 1")
    return u, v, min(rest[0], 1.0) if rest else 1.0


def _shown(value: object) -> str:
    return printable(json.dumps(value)[:LONGEST_SHOWN])


def _placed(coordinates: str, pose: StreamedPose, camera: Cameras) -> Float[Tensor, "joints 3"]:
    """Transform a root-relative pose to another coordinate frame."""
    if coordinates == "root":
        return pose.points
    placed = placed_in_camera(pose.points, pose.image)
    if coordinates == "camera":
        return placed
    pose_of_camera = camera.camera_from_world
    return camera_to_world(pose_of_camera, placed.to(pose_of_camera)[None])[0]


def _plain(points: Float[Tensor, "joints 3"]) -> list[list[float] | None]:
    """Return a list of points; null where unknown."""
    rounded = points.double().round(decimals=DIGITS).tolist()
    return [None if x != x else [x, y, z] for x, y, z in rounded]  # noqa: PLR0124 - NaN
