"""Write markers as C3D, the binary format of motion capture, with the library ezc3d."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Float
from torch import Tensor

# The format counts frames in 16 bits.
MOST_FRAMES = 65_535
# The group of the parameters that only this package writes.
GROUP = "LIFTING"
MILLIMETERS = 1000.0


def require_ezc3d(path: Path) -> None:
    """Refuse a file that cannot be written because the library is not installed."""
    if find_spec("ezc3d") is None:
        raise ValueError(
            f"{path}: C3D files need the library ezc3d: pip install 'multiview-geom[c3d]'"
        )


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
