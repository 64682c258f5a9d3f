"""Vicon's calibration (`.xcp`), XML in millimeters: pose and lens of each camera's first key frame.

`ORIENTATION` is the quaternion x, y, z, w of the rotation from the world to the camera, with axes
x right, y down, z forward, and `POSITION` the center. `VICON_RADIAL2` is "Vicon3Parameter", a
center and three coefficients in pixels: d (1 + k1 r^2 + k2 r^4 + k3 r^6) is the *ideal* offset from
this center of a pixel with the distorted offset d, the other way round than OpenCV's formula. Eight
of OpenCV's coefficients are fitted to it over the sensor.
"""

from collections.abc import Sequence
from math import isfinite
from xml.etree.ElementTree import Element

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom.camera_files.format import CameraFormat, CameraSource
from multiview_geom.camera_files.place import FilePlace
from multiview_geom.camera_files.records import CameraRecord, focal_matrix, rotation_of_quaternion
from multiview_geom.camera_files.values import image_size, parsed_numbers
from multiview_geom.camera_files.xml_elements import attribute, camera_elements
from multiview_geom.lenses.polynomial import distort_pixels

FRAME, MODEL = "KeyFrames/KeyFrame", "Vicon3Parameter"
SCALAR_FIRST = (3, 0, 1, 2)
STEPS = 25
"""Pixels along each side of the sensor to which the lens is fitted."""
LARGEST_MISFIT = 0.2
"""Where OpenCV's coefficients differ by more from Vicon's [px], the lens is refused."""


def read(source: CameraSource) -> list[CameraRecord]:
    """Read every calibrated camera, named by its device."""
    cameras = camera_elements(source.path, source.text, "Camera", "DEVICEID")
    frames = [(name, place, camera, camera.findall(FRAME)) for name, place, camera in cameras]
    return [
        _record(name, place, camera.attrib | found[0].attrib, _note(found))
        for name, place, camera, found in frames
        if found
    ]


def _note(frames: Sequence[Element]) -> str:
    numbers = ", ".join(frame.get("FRAME", "without a number") for frame in frames)
    return f"has key frames {numbers}: only the first is read" if len(frames) > 1 else ""


def _record(name: str, place: FilePlace, values: dict[str, str], note: str) -> CameraRecord:
    (focal,), center = (
        _row(place, values, "FOCAL_LENGTH", 1),
        _row(place, values, "PRINCIPAL_POINT", 2),
    )
    rotation = rotation_of_quaternion(
        place.at("ORIENTATION"), _row(place, values, "ORIENTATION", 4)[[*SCALAR_FIRST]]
    )
    width, height = _row(place, values, "SENSOR_SIZE", 2).tolist()
    size = image_size(place.at("SENSOR_SIZE"), width, height)
    _require(place, values, "PIXEL_ASPECT_RATIO", 1.0, "square pixels")
    _require(place, values, "SKEW", 0.0, "axes of the sensor at right angles")
    return CameraRecord(
        name=name,
        intrinsics=focal_matrix(float(focal), float(focal), *center.tolist()),
        rotation=rotation,
        translation=-rotation @ _row(place, values, "POSITION", 3),
        distortion=_lens(place, values, float(focal), center, size),
        image_size=size,
        note=note,
    )


def _row(place: FilePlace, values: dict[str, str], key: str, count: int) -> Tensor:
    return parsed_numbers(place.at(key), attribute(place, values, key).split(), count)


def _require(
    place: FilePlace, values: dict[str, str], key: str, known: float, meaning: str
) -> None:
    """Refuse the other values of an attribute, whose meaning nothing public states."""
    if key in values and (value := float(_row(place, values, key, 1))) != known:
        raise place.at(key).expected(f"{meaning}, {known:g}", value)


def _lens(
    place: FilePlace,
    values: dict[str, str],
    focal: float,
    center: Float[Tensor, "2"],
    size: tuple[int, int],
) -> tuple[float, ...]:
    """Return OpenCV's coefficients, whose pixels are those of Vicon's lens."""
    place = place.at("VICON_RADIAL2")
    model, *numbers = values.get("VICON_RADIAL2", "").split() or [""]
    if model != MODEL:
        raise place.expected(f"{MODEL}, a center and three coefficients", model or "none")
    x, y, *k = parsed_numbers(place, numbers, 5).tolist()
    if not any(k):
        return ()
    distorted = torch.cartesian_prod(
        *(torch.linspace(0, side - 1, STEPS).double() for side in size)
    )
    offset = distorted - torch.tensor([x, y], dtype=torch.float64)
    ideal = distorted + offset * _polynomial(offset.square().sum(dim=-1, keepdim=True), k)
    return _fitted(place, (ideal - center) / focal, (distorted - center) / focal, focal)


def _polynomial(square: Tensor, k: list[float]) -> Tensor:
    k1, k2, k3 = k
    return k1 * square + k2 * square**2 + k3 * square**3


def _fitted(
    place: FilePlace, ideal: Float[Tensor, "points 2"], distorted: Float[Tensor, "points 2"],
    focal: float,
) -> tuple[float, ...]:  # fmt: skip
    """Fit k1, k2, p1, p2, k3 and the denominator k4, k5, k6, and compare the lenses."""
    equations = torch.cat([_equations(ideal, distorted), _equations(ideal, distorted, flip=True)])
    moved = torch.cat([*(distorted - ideal).unbind(dim=-1)])
    if not bool(equations.isfinite().all() & moved.isfinite().all()):
        raise place.expected("coefficients of a lens", "numbers whose powers are not finite")
    found: Tensor = torch.linalg.lstsq(equations, moved[:, None], driver="gelsd").solution[:, 0]
    unit = torch.eye(3, dtype=torch.float64)[None]
    misfit = focal * float((distort_pixels(unit, found[None], ideal[None]) - distorted).abs().max())
    if not misfit <= LARGEST_MISFIT:
        differs = f"differs by {misfit:.2g} px" if isfinite(misfit) else "is not finite"
        raise place.expected(
            f"a lens that OpenCV's coefficients describe within {LARGEST_MISFIT} px",
            f"one that {differs}",
        )
    return tuple(found.tolist())


def _equations(
    ideal: Float[Tensor, "points 2"], distorted: Float[Tensor, "points 2"], *, flip: bool = False
) -> Float[Tensor, "points 8"]:
    """Return OpenCV's formula for x, or with `flip` for y, times its denominator.

    It is linear in the coefficients but for products of tangential ones and the denominator, which
    are small.
    """
    x, y = (ideal.flip(-1) if flip else ideal).unbind(dim=-1)
    image = (distorted.flip(-1) if flip else distorted)[:, 0]
    square = x * x + y * y
    tangential = [2 * x * y, square + 2 * x * x]
    numerator = [x * square**power for power in (1, 2, 3)]
    denominator = [-image * square**power for power in (1, 2, 3)]
    tangential = tangential[::-1] if flip else tangential
    return torch.stack([*numerator[:2], *tangential, numerator[2], *denominator], dim=-1)


FORMAT = CameraFormat(
    name="vicon",
    title="Vicon .xcp",
    unit="mm",
    recognizes=lambda source: source.text.startswith("<") and "<KeyFrame" in source.text,
    read=read,
)
