"""The native file of a recording: an archive of plain arrays, and a description in JSON."""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from multiview_geom import Cameras, Lens
from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.npz_file import write_npz
from selfsup_lifting.parse.description import FORMAT_VERSION, read_description
from selfsup_lifting.parse.npz import load_npz, map_npz
from selfsup_lifting.read_errors import Place, ReadError
from selfsup_lifting.recording import Recording, Source, as_path, require_kind
from selfsup_lifting.skeleton.skeletons import Skeleton

# The tensors of the cameras that a file contains.
TENSORS = ("keypoints", "confidence", "truth")
UNITS = {"keypoints": "px", "truth": "m", "cameras": "m"}
CAMERA_ARRAYS = ("intrinsics", "camera_from_world", "distortion", "image_size")


def save_recording(path: Path, recording: Recording) -> None:
    """Write a recording as an `.npz` file of plain arrays and one JSON string.

    The arrays are not compressed: a large recording is read by mapping it into memory.

    Args:
        path: The file; an existing file is replaced completely or not at all.
        recording: The recording. Gradients are not saved.

    Raises:
        ValueError: If it could not be read again: its tensors were changed after it was made, or a
            name has half a surrogate pair.

    Example:
        >>> import tempfile
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_recording(Path(folder) / "recording.npz", recording)
    """
    require_kind("recording", recording, Recording)
    recording = replace(recording)  # checks it: tensors may have been changed in their place
    cameras = recording.cameras
    description = {
        "format": FORMAT_VERSION,
        "name": recording.name,
        "subject": recording.subject,
        "action": recording.action,
        "fps": recording.fps,
        "skeleton": recording.skeleton.as_dict(),
        "cameras": list(cameras.names),
        "lens": [lens.value for lens in cameras.lenses],
        "source": recording.source.as_dict(),
        "units": UNITS,
    }
    arrays = {name: getattr(recording, name) for name in TENSORS}
    arrays |= {name: getattr(cameras, name) for name in CAMERA_ARRAYS}
    known: dict[str, Any] = {
        name: array.detach().cpu().numpy() for name, array in arrays.items() if array is not None
    }
    text = json.dumps(description)
    read_description(Path(path), text, "a recording")
    known["description"] = np.array(text)
    with replacing(Path(path)) as temporary:
        write_npz(temporary, known, compressed=False)


def load_recording(path: Path) -> Recording:
    """Read a recording that `save_recording` wrote.

    Args:
        path: The `.npz` file.

    Returns:
        The recording, equal to the saved one. Large arrays stay in the file, which must not be
        changed in its place; what is written to them does not reach the file.

    Raises:
        ReadError: If there is no such file, or it is not a recording, is damaged, or has a newer
            format.

    Example:
        >>> import tempfile
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_recording(Path(folder) / "recording.npz", recording)
        ...     loaded = load_recording(Path(folder) / "recording.npz")
        >>> loaded.cameras == recording.cameras
        True
    """
    path = as_path("path", path)
    if not path.is_file():
        found = "a folder" if path.is_dir() else "nothing of this name"
        raise Place(path).error(f"expected a file that `save_recording` wrote, got {found}")
    try:
        written = load_npz(path, "description")["description"]
        description = read_description(path, written, "a recording")
        units = description.get("units", UNITS)
        if units != UNITS:
            raise Place(path, "units").expected(f"{UNITS}, as `save_recording` writes", units)
        return _recording_of(description, map_npz(path, *TENSORS, *CAMERA_ARRAYS))
    except ReadError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise Place(path).damaged("a recording", error) from error


def _recording_of(description: dict[str, Any], tensors: Mapping[str, Tensor]) -> Recording:
    for name in ("cameras", "lens"):
        require_kind(name, description[name], list)
    cameras = Cameras(
        tensors["intrinsics"], tensors["camera_from_world"],
        distortion=tensors.get("distortion"), image_size=tensors.get("image_size"),
        names=tuple(description["cameras"]),
        lens=tuple(map(Lens, description["lens"])),
    )  # fmt: skip
    return Recording(
        description["name"], description["subject"], description["action"],
        fps=float(description["fps"]),
        skeleton=Skeleton.from_dict(description["skeleton"]),
        cameras=cameras,
        keypoints=tensors["keypoints"],
        confidence=tensors["confidence"],
        truth=tensors.get("truth"),
        source=Source.from_dict(description.get("source", {})),
    )  # fmt: skip
