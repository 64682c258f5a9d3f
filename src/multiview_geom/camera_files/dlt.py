"""DLT coefficients, as DLTdv, easyWand and Argus write them: 11 rows, a column per camera.

u = (L1 X + L2 Y + L3 Z + L4) / (L9 X + L10 Y + L11 Z + 1), v from L5 to L8. Cameras are pinholes.
DLTdv 8 measures v from the top of the picture, Argus and DLTdv 1 to 7 from the bottom. The file
does not say which; a v from the bottom mirrors the cameras, and is refused.
"""

import torch
from torch import Tensor

from multiview_geom._view_names import default_names
from multiview_geom.camera_files.format import MINUS, CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord
from multiview_geom.camera_files.values import parsed_numbers
from multiview_geom.projection import decompose_projections

COEFFICIENTS = 11
SEPARATORS = (";", "\t", ",")
"""What is between the numbers of a row, where it is not blanks."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read every column; cameras have no names in the file."""
    text = source.text.replace(MINUS, "-")
    lines = [_words(line) for line in text.splitlines() if line.strip()]
    if len(lines) != COEFFICIENTS:
        raise source.place.expected(f"{COEFFICIENTS} rows of coefficients", f"{len(lines)} of them")
    columns = torch.stack(
        [
            parsed_numbers(source.place.at(f"line {count}"), words, len(lines[0]))
            for count, words in enumerate(lines, start=1)
        ],
        dim=-1,
    )
    names = default_names(len(columns))
    return [
        _record(source.place.at(name), name, row) for name, row in zip(names, columns, strict=True)
    ]


def _words(line: str) -> list[str]:
    """Split a row; between semicolons or tabs, a comma is a decimal comma."""
    separator = next((one for one in SEPARATORS if one in line), None)
    return line.split(",") if separator == "," else line.replace(",", ".").split(separator)


def _record(place: FilePlace, name: str, row: Tensor) -> CameraRecord:
    K, pose = decompose_projections(torch.cat([row, row.new_ones(1)]).reshape(3, 4))
    if not (K.isfinite().all() and K[0, 0] > 0 and K[1, 1] > 0):
        raise place.expected("coefficients of a finite camera", row.tolist())
    if pose[2, 3] <= 0:
        raise place.expected(
            "the origin of the world in front of the camera",
            "a mirrored camera; v is likely measured from the bottom, as Argus does, or a "
            "spreadsheet cut off exponents",
        )
    return CameraRecord(name, K, pose[:3, :3], pose[:3, 3])


def _recognizes(source: CameraSource) -> bool:
    first, suffix = source.text.partition("\n")[0], source.path.suffix.lower()
    is_table = suffix == ".csv" or any(one in first for one in SEPARATORS)
    is_table |= len(source.text.split()) == COEFFICIENTS
    return source.begins_with_number and is_table and suffix != ".cal"  # HumanEva's numbers


FORMAT = CameraFormat(
    name="dlt",
    title="DLT coefficients",
    unit=None,
    recognizes=_recognizes,
    read=read,
)
