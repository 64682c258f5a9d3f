"""OpenCap's calibration: a pickle per camera, read without Python's unpickler.

A session has `Videos/Cam0/cameraIntrinsicsExtrinsics.pickle` for every camera. Lengths are in
millimeters, X_camera = R X_world + t with the board as the world, and the lens is OpenCV's.
`imageSize` is height and width; in calibrations converted from Vicon it is width and height, so the
order whose middle is nearer to the principal point is taken.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from multiview_geom import CameraFormat, CameraRecord, CameraSource
from selfsup_lifting.parse.safe_pickle import unpickle
from selfsup_lifting.parse.unpacking import read_content
from selfsup_lifting.read_errors import Place, listed

FILE = "cameraIntrinsicsExtrinsics.pickle"
# Where the files of a camera, of the videos and of a session are.
PLACES = ("", "*/", "Videos/*/")
# A pickle of one camera has about one kilobyte.
LARGEST_FILE = 2**20
KEYS = ("intrinsicMat", "rotation", "translation")
# The coefficients of OpenCV's lens.
COEFFICIENTS = {4, 5, 8, 12, 14}


def _read(source: CameraSource) -> list[CameraRecord]:
    """Read one camera, or all cameras of a session, named by the folders of their files."""
    return [_record(file) for file in _files(source.path)]


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path] if path.suffix in {".pickle", ".pkl"} else []
    files = [file for place in PLACES for file in path.glob(f"{place}{FILE}")]
    return sorted(file for file in files if file.is_file())


def _record(file: Path) -> CameraRecord:
    place = Place(file)
    if file.stat().st_size > LARGEST_FILE:
        raise place.expected(f"at most {LARGEST_FILE} bytes", file.stat().st_size)
    whole = Place(file, "a Python pickle")
    found = unpickle(read_content(file), whole)
    if not isinstance(found, dict):
        raise whole.expected("a dict, as OpenCap writes it", found)
    lacking = [key for key in KEYS if key not in found]
    if len(lacking) == len(KEYS):
        raise whole.expected(
            f"a dict of OpenCap, with {', '.join(KEYS)}", f"the keys {listed(map(str, found))}"
        )
    K = _numbers(place, found, "intrinsicMat", 9).reshape(3, 3)
    return CameraRecord(
        name=file.parent.name if file.name == FILE else file.stem,
        intrinsics=K,
        rotation=_numbers(place, found, "rotation", 9).reshape(3, 3),
        translation=_numbers(place, found, "translation", 3),
        distortion=tuple(_numbers(place, found, "distortion", *COEFFICIENTS).tolist()),
        image_size=_size(place, found, K),
    )


def _numbers(place: Place, found: Mapping[str, Any], key: str, *counts: int) -> Tensor:
    value = found.get(key)
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
        raise place.at(key).expected("an array of numbers", value)
    row = torch.from_numpy(value.astype(np.float64)).flatten()
    if len(row) not in counts or not row.isfinite().all():
        many = " or ".join(map(str, sorted(counts)))
        raise place.at(key).expected(f"{many} finite numbers", row.tolist())
    return row


def _size(place: Place, found: Mapping[str, Any], K: Tensor) -> tuple[int, int]:
    height, width = _numbers(place, found, "imageSize", 2).tolist()
    if not all(1 <= side <= LARGEST_FILE and side == int(side) for side in (height, width)):
        raise place.at("imageSize").expected("height and width in whole pixels", (height, width))
    middle = (2 * K[:2, 2] + 1).tolist()
    sizes = ((int(width), int(height)), (int(height), int(width)))
    return min(sizes, key=lambda size: abs(size[0] - middle[0]) + abs(size[1] - middle[1]))


OPENCAP = CameraFormat(
    name="opencap",
    title=f"OpenCap {FILE}",
    unit="mm",
    recognizes=lambda source: bool(_files(source.path)),
    read=_read,
    files=FILE,
)
