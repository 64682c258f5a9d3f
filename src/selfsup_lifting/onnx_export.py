"""Export a lifter as an ONNX model that takes pixels, and compare it with PyTorch."""

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multiview_geom import Cameras
from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.inference import lift, placed_in_camera
from selfsup_lifting.recording import as_path
from selfsup_lifting.training.lifter import Lifter, require_lifter
from selfsup_lifting.triangulate import normalized_image

INPUTS = ("pixels", "confidence", "intrinsics")
OUTPUTS = ("root_relative", "in_camera")
# The version of ONNX's operators; ONNX Runtime 1.17 and later have it.
OPSET = 20
# The model is compared on so many drawn poses, and refused above this difference [m].
DRAWN, LARGEST_DIFFERENCE = 1000, 1e-4
# Share of missing joints in the drawn poses, and limits of the focal length [px].
MISSING, FOCAL_LENGTHS = 0.2, (500.0, 2500.0)
ABOUT = {
    "pixels": "joints in one image without lens distortion [px]; NaN where missing",
    "confidence": "the detector's confidence, 0 to 1; 0 where missing",
    "intrinsics": "K of the camera of each pose [px]",
    "root_relative": "joints relative to the root, in the camera's axes [m]; NaN without detection",
    "in_camera": "the same where it fits the image best, in camera coordinates [m]; NaN with fewer "
    "than two joints",
}


class PixelLifter(nn.Module):
    """A lifter with everything before and after it: from pixels to meters."""

    def __init__(self, lifter: Lifter) -> None:
        super().__init__()
        self.lifter = lifter

    def forward(
        self,
        pixels: Float[Tensor, "poses joints 2"],
        confidence: Float[Tensor, "poses joints"],
        intrinsics: Float[Tensor, "poses 3 3"],
    ) -> tuple[Float[Tensor, "poses joints 3"], Float[Tensor, "poses joints 3"]]:
        """Lift poses; `ABOUT` describes inputs and outputs."""
        image = _rays(pixels, intrinsics)
        seen = image.isfinite().all(dim=-1)
        found = seen.any(dim=-1)[:, None, None]
        poses = torch.where(found, self.lifter(image, seen, confidence), torch.nan)
        return poses, placed_in_camera(poses, image)


def export_onnx(lifter: Lifter, path: Path) -> float:
    """Write a lifter as an ONNX model, if it computes the same as PyTorch.

    The model takes any number of poses, as `ABOUT` says; its metadata name the joints.

    Args:
        lifter: A trained network in evaluation mode.
        path: The file; an existing file is replaced.

    Returns:
        The largest difference from `lift` on 1,000 drawn poses with missing joints [m].

    Raises:
        ValueError: If the packages of the extra `onnx` are missing, or the difference is above
            0.1 mm; nothing is written then.

    Example:
        >>> import tempfile
        >>> from selfsup_lifting import SKELETONS
        >>> from selfsup_lifting.config import LifterSettings
        >>> untrained = Lifter(SKELETONS["h36m17"], LifterSettings(width=8, blocks=1)).eval()
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     export_onnx(untrained, Path(folder) / "model.onnx") < 1e-5
        True
    """
    require_lifter(lifter)
    path = as_path("path", path)
    require_onnx(path)
    with replacing(path) as temporary:
        _write(lifter.cpu(), temporary)
        difference = largest_difference(lifter, temporary)
        if not difference <= LARGEST_DIFFERENCE:
            raise ValueError(
                f"{path} is not written: the ONNX model differs from PyTorch by up to "
                f"{1000 * difference:.3f} mm; expected at most {1000 * LARGEST_DIFFERENCE} mm"
            )
    return difference


def require_onnx(path: Path) -> None:
    """Raise a ValueError if the packages that write and check a model are not installed."""
    try:
        import onnx  # noqa: F401 - only asks
        import onnxruntime  # noqa: F401 - only asks
        import onnxscript  # noqa: F401 - only asks
    except ImportError as error:
        raise ValueError(f'{path} needs {error.name}: pip install "multiview-geom[onnx]"') from None


def largest_difference(lifter: Lifter, path: Path) -> float:
    """Return the largest difference of an ONNX model from `lift`, on drawn poses [m]."""
    import onnxruntime

    drawn = drawn_inputs(len(lifter.skeleton.joints))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    given = {name: one.numpy() for name, one in zip(INPUTS, drawn, strict=True)}
    found = [torch.from_numpy(output) for output in session.run(OUTPUTS, given)]
    pixels, confidence, intrinsics = drawn
    # One view per pose: each has a camera of its own.
    rig = Cameras(intrinsics, torch.eye(4, dtype=torch.float32).expand(DRAWN, 4, 4))
    expected = lift(lifter, rig, pixels[None], confidence[None])[0]
    placed = placed_in_camera(expected, normalized_image(rig, pixels[None])[0])
    return max(map(_difference, found, (expected, placed)))


def drawn_inputs(joints: int) -> tuple[Tensor, Tensor, Tensor]:
    """Draw poses with missing joints, the first without any, and a camera for each of them."""
    random = torch.Generator().manual_seed(0)
    low, high = FOCAL_LENGTHS
    focal = low + (high - low) * torch.rand(DRAWN, 2, dtype=torch.float32, generator=random)
    centers = focal * (0.4 + 0.2 * torch.rand(DRAWN, 2, dtype=torch.float32, generator=random))
    intrinsics = torch.eye(3, dtype=torch.float32).repeat(DRAWN, 1, 1)
    intrinsics[:, 0, 0], intrinsics[:, 1, 1] = focal.T
    intrinsics[:, :2, 2] = centers
    image = 0.3 * torch.randn(DRAWN, 1, 2, dtype=torch.float32, generator=random)
    image = image + 0.1 * torch.randn(DRAWN, joints, 2, dtype=torch.float32, generator=random)
    missing = torch.rand(DRAWN, joints, dtype=torch.float32, generator=random) < MISSING
    missing[0] = True
    pixels = (focal[:, None] * image + centers[:, None]).masked_fill(missing[..., None], torch.nan)
    confidence = torch.rand(DRAWN, joints, dtype=torch.float32, generator=random).masked_fill(
        missing, 0.0
    )
    return pixels, confidence, intrinsics


def _rays(
    pixels: Float[Tensor, "poses joints 2"], intrinsics: Float[Tensor, "poses 3 3"]
) -> Float[Tensor, "poses joints 2"]:
    """Multiply pixels by the inverse intrinsics, which are upper triangular."""
    center, K = intrinsics[:, None, :2, 2], intrinsics[:, None]
    offset = pixels - center
    v = offset[..., 1] / K[..., 1, 1]
    u = (offset[..., 0] - K[..., 0, 1] * v) / K[..., 0, 0]
    return torch.stack([u, v], dim=-1)


def _write(lifter: Lifter, path: Path) -> None:
    import onnx

    inputs = tuple(one[:2] for one in drawn_inputs(len(lifter.skeleton.joints)))
    poses = torch.export.Dim("poses", min=1)
    with _quiet():
        program = torch.onnx.export(
            PixelLifter(lifter).eval(), inputs,
            input_names=INPUTS, output_names=OUTPUTS, opset_version=OPSET,
            dynamic_shapes=tuple({0: poses} for _ in inputs), dynamo=True, verbose=False,
        )  # fmt: skip
    model: Any = program.model_proto if program else None
    about = {**ABOUT, "skeleton": json.dumps(lifter.skeleton.as_dict())}
    onnx.helper.set_model_props(model, about)
    onnx.checker.check_model(model)
    onnx.save(model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide what the exporter says to its own developers."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def _difference(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference; infinity if different elements are NaN."""
    if not torch.equal(found.isnan(), expected.isnan()):
        return torch.inf
    return float((found - expected).nan_to_num(0.0).abs().max())
