"""Write markers as C3D, the binary format of motion capture, with the library ezc3d."""

import struct
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from math import isfinite, prod
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.parse.unpacking import read_content
from selfsup_lifting.read_errors import Place

# The format counts frames in 16 bits.
MOST_FRAMES = 65_535
# The group of the parameters that only this package writes.
GROUP = "LIFTING"
MILLIMETERS = 1000.0
# The size of a block, the second byte of a file, and the mark of a processor that writes the first
# byte of a number first.
BLOCK, C3D_MARK, BIG_ENDIAN = 512, 0x50, b"\x56"
CUT_OFF = "it was cut off"
# Of a parameter.
MOST_DIMENSIONS = 7


def require_ezc3d(path: Path) -> None:
    """Refuse a file that cannot be written because the library is not installed."""
    if find_spec("ezc3d") is None:
        raise ValueError(
            f"{path}: C3D files need the library ezc3d: pip install 'multiview-geom[c3d]'"
        )


def require_whole_c3d(path: Path) -> int:
    """Refuse a file that ends before its parameters or its frames do: ezc3d may never end on it.

    Returns:
        How many frames follow those that a header can count, which ezc3d does not read.

    Raises:
        ReadError: If the file is shorter than its header and its list of parameters say.
    """
    content = read_content(path)
    if len(content) < BLOCK or content[1] != C3D_MARK or content[0] <= 1:
        raise Place(path).error("expected a C3D file, which begins with a header of 512 bytes")
    text, start = _copied_as_text(content), BLOCK * (content[0] - 1)
    order = ">" if content[start + 3 : start + 4] == BIG_ENDIAN else "<"
    end = _end_of_parameters(content, start + 4, order)
    if end is None:
        raise Place(path).error(f"the file ends before its parameters do: {text or CUT_OFF}")
    points, analog, first, last = struct.unpack_from(f"{order}4H", content, 2)
    scale, data, _, rate = struct.unpack_from(f"{order}fHHf", content, 12)
    for name, value in (("the scale", scale), ("the frame rate", rate)):
        if not value or not isfinite(value):
            raise Place(path, "header").error(
                f"expected {name} as a finite number, not zero, got {value}: "
                f"{text or 'it was damaged'}"
            )
    if BLOCK * (data - 1) < end:
        raise Place(path, "header").error(
            f"expected frames after the parameters, from byte {end}, got from {BLOCK * (data - 1)}"
        )
    bytes_each = 4 if scale < 0 else 2
    bytes_of_frame = (4 * points + analog) * bytes_each
    needed = BLOCK * (data - 1) + max(0, last - first + 1) * bytes_of_frame
    if needed > len(content):
        raise Place(path).error(
            f"expected {needed} bytes for its frames {first} to {last}, got {len(content)}: "
            f"{text or CUT_OFF}"
        )
    more = len(content) - needed  # less than a block fills the last one
    return int(more // max(1, bytes_of_frame)) if last == MOST_FRAMES and more >= BLOCK else 0


def _end_of_parameters(content: bytes, at: int, order: str) -> int | None:
    """Return where the list of parameters ends; None if the file ends before, or one is larger."""
    step = 1
    while step:  # a name and the distance to the next; a name or a distance of 0 is the end
        name = struct.unpack_from("b", content, at)[0] if at + 2 <= len(content) else None
        end: int = at + 2 + abs(name or 0)
        if name is None or end + 2 > len(content):
            return None
        step = struct.unpack_from(f"{order}H", content, end)[0] if name else 0
        is_group = struct.unpack_from("b", content, at + 1)[0] < 0
        if name and not is_group and not _fits(content, end + 2):
            return None
        at = end + step
    return end


def _fits(content: bytes, at: int) -> bool:
    """Return whether a parameter's numbers fit into the file: ezc3d makes room for all of them.

    The size of a number, which is -1 for letters, and each dimension are a byte.
    """
    if at + 2 > len(content):
        return False
    size, count = content[at], content[at + 1]
    needed = min(size, 256 - size) * prod(content[at + 2 : at + 2 + count])
    return count <= MOST_DIMENSIONS and needed <= len(content) - at


def _copied_as_text(content: bytes) -> str:
    """Return this as a cause if the ends of lines, or U+FFFD, make it likely; else nothing."""
    ends = content.count(b"\n")
    if "\ufffd".encode() in content or ends == content.count(b"\r\n") > 1:
        return "it was copied as text, which damaged it: copy it as binary (FTP, git)"
    return ""


def write_c3d(
    path: Path,
    points: Float[Tensor, "frames markers 3"],
    *,
    names: Sequence[str],
    fps: float,
    up: str,
    remarks: Mapping[str, str],
) -> None:
    """Write markers in millimeters, in single precision.

    Args:
        path: The file.
        points: The markers [m]. One that is not finite is written as missing: its residual is -1.
        names: The names of the markers.
        fps: Frame rate [1/s].
        up: The axis that points up, such as "z" or "-y".
        remarks: Texts for the group of parameters `LIFTING`.

    Raises:
        ValueError: If the file would have no frame, or more than 65,535.

    Reference:
        Motion Lab Systems, The C3D File Format User Guide, 2021.
    """
    import ezc3d

    if not 0 < len(points) <= MOST_FRAMES:
        raise ValueError(
            f"a C3D file has 1 to {MOST_FRAMES} frames, got {len(points)}; --frames chooses some"
        )
    missing = ~points.isfinite().all(dim=-1)
    values = (MILLIMETERS * points.double()).masked_fill(missing[..., None], 0.0)
    file = ezc3d.c3d()
    file["parameters"]["POINT"]["RATE"]["value"] = [fps]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(names)
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    right = "+Y" if up.endswith("x") else "+X"
    upwards = f"{'-' if up.startswith('-') else '+'}{up[-1].upper()}"
    file.add_parameter("POINT", "X_SCREEN", [right])
    file.add_parameter("POINT", "Y_SCREEN", [upwards])
    for name, remark in remarks.items():
        file.add_parameter(GROUP, name, [remark])
    axes_first = values.permute(2, 1, 0).numpy()
    file["data"]["points"] = np.concatenate([axes_first, np.ones_like(axes_first[:1])])
    residuals = -missing.double().mT[None].numpy()
    file["data"]["meta_points"]["residuals"] = residuals
    file["data"]["meta_points"]["camera_masks"] = np.zeros((7, *residuals.shape[1:]), dtype=bool)
    file.write(str(path))
