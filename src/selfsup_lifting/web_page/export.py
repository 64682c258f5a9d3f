"""Write a lifter as one page that lifts dropped files in any browser, without network."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from multiview_geom import Cameras
from selfsup_lifting.atomic_write import replacing, require_target
from selfsup_lifting.files import read_recordings
from selfsup_lifting.inference import lift
from selfsup_lifting.onnx_export import drawn_inputs
from selfsup_lifting.page_template import filled_page, page_data, template_of
from selfsup_lifting.plots.poses import drawn_bones
from selfsup_lifting.read_errors import listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.lifter import (
    CONFIDENCE_UNIT,
    Lifter,
    merge_batchnorm,
    require_lifter,
)
from selfsup_lifting.viewer.page import TEMPLATE as VIEWER

PAGE = "index.html"
# Only these pages have this element.
MARK = b'<script type="application/json" id="model">'
# A weight keeps the first 24 of its 32 bits: four letters of base64.
KEPT_BITS = 24
# The page compares itself with PyTorch on so many drawn poses.
CHECKED = 40
# A page with a larger difference from PyTorch is refused [m].
LARGEST_DIFFERENCE = 1e-4
# The recording that the page shows first, and its frames.
EXAMPLE, EXAMPLE_FRAMES, EXAMPLE_VIEW = "S4 walking", slice(0, 60), "cam_2"
# Digits of pixels and meters of the example and the checks.
DIGITS = 7


def export_web(lifter: Lifter, folder: Path) -> float:
    """Write a page that lifts files of 2D poses in a browser; it contains everything it needs.

    Args:
        lifter: A trained network in evaluation mode.
        folder: The folder; its index.html is replaced.

    Returns:
        The largest difference from `lift` that the rounding of the weights causes, on 1,000 drawn
        poses with missing joints [m].

    Raises:
        ValueError: If the lifter is not in single precision, or the difference is above 0.1 mm;
            nothing is written then.
    """
    require_lifter(lifter)
    rounded = _rounded(merge_batchnorm(lifter.cpu()))
    drawn = drawn_inputs(len(lifter.skeleton.joints))
    expected, found = (_lifted(one, *drawn) for one in (lifter, rounded))
    difference = float((expected - found).nan_to_num(0.0).abs().max())
    if not difference <= LARGEST_DIFFERENCE:
        raise ValueError(
            f"{folder} is not written: rounded weights change a pose by up to "
            f"{1000 * difference:.3f} mm; expected at most {1000 * LARGEST_DIFFERENCE} mm"
        )
    model = {
        **_description(lifter),
        "layers": [*_layers(rounded)],
        "checks": _checks(expected, *drawn),
        "example": _example(lifter.skeleton),
    }
    viewer = page_data(template_of("selfsup_lifting.viewer", VIEWER))
    text = filled_page(
        "selfsup_lifting.web_page", "page.html", model=page_data(model), viewer=viewer
    )
    with replacing(folder / PAGE) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return difference


def require_page_folder(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that no page can be written to, before any work is done.

    Args:
        folder: The folder to write.
        overwrite: Whether it may exist: empty, or with a page of `export_web`.

    Raises:
        FileExistsError: If it exists and may not, or holds other files and no such page.
        ValueError: If a file, a pipe or a device has this name, or it cannot be created.
    """
    if not folder.is_dir():
        require_target(folder, overwrite=overwrite)
        if folder.exists():
            raise ValueError(f"{folder} is a file; expected the name of a folder for the page")
        return
    if not overwrite:
        raise FileExistsError(f"{folder} exists; --overwrite replaces it")
    names = sorted(path.name for path in folder.iterdir())
    if names and not _is_page(folder / PAGE):
        raise FileExistsError(
            f"{folder} has no page of `export`, but {listed(names)}, and --overwrite replaces "
            "results only: name another folder"
        )


def _is_page(file: Path) -> bool:
    """Return whether a file is a page of `export_web`."""
    return file.is_file() and MARK in file.read_bytes()


def _description(lifter: Lifter) -> dict[str, Any]:
    skeleton, settings = lifter.skeleton, lifter.settings
    return {
        "joints": skeleton.joints,
        "bones": drawn_bones(skeleton),
        "root": skeleton.root,
        "confidence": CONFIDENCE_UNIT if settings.confidence_input else 0.0,
        "turn": settings.turn_to_root,
        "mirror": lifter.skeleton.mirror_order if settings.average_mirrored else None,
        "unit": settings.output_unit,
    }


@torch.no_grad()
def _rounded(merged: Lifter) -> Lifter:
    """Round the weights in place to what the page stores."""
    for weights in merged.parameters():
        bits = weights.contiguous().view(torch.int32).long()
        half = 1 << (31 - KEPT_BITS)
        kept = (bits + half) >> (32 - KEPT_BITS) << (32 - KEPT_BITS)
        weights.copy_(kept.to(torch.int32).view(torch.float32))
    return merged


def _layers(merged: Lifter) -> Iterator[dict[str, Any]]:
    """Yield the layers in their order: linear ones, and blocks whose result is added."""
    for part in (merged.encoder, merged.decoder):
        yield from _steps(part.layers)


def _steps(layers: nn.Sequential) -> Iterator[dict[str, Any]]:
    steps = [*layers]
    for place, layer in enumerate(steps):
        if isinstance(layer, nn.Linear):
            follows = place + 1 < len(steps) and isinstance(steps[place + 1], nn.ReLU)
            yield {"weight": _packed(layer.weight), "bias": _packed(layer.bias), "relu": follows}
        elif not isinstance(layer, nn.ReLU):
            yield {"residual": [*_steps(layer.layers)]}


def _packed(weights: Tensor) -> str:
    """Return the first three bytes of each weight as base64, lowest byte first."""
    numbers = weights.detach().contiguous().numpy().astype("<f4")
    return b64encode(numbers.view("u1").reshape(-1, 4)[:, 1:].tobytes()).decode("ascii")


def _lifted(
    lifter: Lifter, pixels: Tensor, confidence: Tensor, intrinsics: Tensor
) -> Float[Tensor, "poses joints 3"]:
    rig = Cameras(intrinsics, torch.eye(4, dtype=torch.float32).expand(len(pixels), 4, 4))
    return lift(lifter, rig, pixels[None], confidence[None])[0]


def _checks(
    expected: Tensor, pixels: Tensor, confidence: Tensor, intrinsics: Tensor
) -> list[dict[str, Any]]:
    """Return drawn poses and what PyTorch makes of them, for the page to compare."""
    checks = []
    for pose in range(CHECKED):
        K, lost = intrinsics[pose], bool(expected[pose].isnan().any())
        checks.append({
            "joints": _joints(pixels[pose], confidence[pose]),
            "K": {"fx": float(K[0, 0]), "fy": float(K[1, 1]), "cx": float(K[0, 2]),
                  "cy": float(K[1, 2]), "skew": float(K[0, 1])},
            "points": None if lost else expected[pose].double().round(decimals=DIGITS).tolist(),
        })  # fmt: skip
    return checks


def _joints(
    pixels: Float[Tensor, "joints 2"], confidence: Float[Tensor, "joints"]
) -> list[list[float] | None]:
    rows = torch.cat([pixels, confidence[:, None]], dim=1).double().tolist()
    return [row if row[0] == row[0] else None for row in rows]


def _example(skeleton: Skeleton) -> dict[str, Any] | None:
    """Return a synthetic walk as the page reads it; None for a skeleton that is no person's."""
    settings = ReadSettings(take=EXAMPLE)
    (recording,) = read_recordings(["synthetic"], settings)
    try:
        mapped = recording if recording.skeleton == skeleton else recording.to_skeleton(skeleton)
    except ValueError:
        return None
    single = mapped.select_views([EXAMPLE_VIEW]).frames(EXAMPLE_FRAMES)
    return {"camera": _camera(single), "frames": [*_frames(single)]}


def _camera(single: Recording) -> dict[str, float]:
    K = single.cameras.intrinsics[0]
    size = single.cameras.image_size
    width, height = (1000, 1000) if size is None else map(int, size[0])
    return {
        "fx": float(K[0, 0]), "cx": float(K[0, 2]), "cy": float(K[1, 2]),
        "width": width, "height": height, "fps": single.fps,
    }  # fmt: skip


def _frames(single: Recording) -> Iterator[list[list[float] | None]]:
    for pixels, confidence in zip(single.keypoints[:, 0], single.confidence[:, 0], strict=True):
        yield _joints(pixels.double().round(decimals=2), confidence.double().round(decimals=2))
