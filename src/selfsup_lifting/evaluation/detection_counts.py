"""How many detections of a recording are missing, odd or repeated."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from selfsup_lifting.mapped import release_pages
from selfsup_lifting.recording import Recording

HISTOGRAM_BINS = 10
# What some programs write instead of a missing joint.
CODES = (0.0, -1.0)


@dataclass(frozen=True)
class DetectionCounts:
    """How many detections of a recording are missing, and what their confidences are.

    Attributes:
        frames: The number of frames.
        missing: The missing detections of each joint in each view.
        histogram: The detections in each tenth of the confidence.
        known: The detections with a confidence.
        certain: Those of them with the confidence 1.
        outside: The detections of each view that are further outside of its picture than the
            picture is large.
        coded: The detections of each view at (0, 0) or (-1, -1).
        on_border: The other detections of each view exactly on the border of its picture.
        beyond: The other detections of each view outside of its picture, near or far.
        unscaled: The confidences below 0 or above 1.
        repeated: The detections of each joint in each view that are exactly those of the frame
            before.
    """

    frames: int
    missing: Int[Tensor, "views joints"]
    histogram: Float[Tensor, "tenths"]
    known: int
    certain: int
    outside: Int[Tensor, "views"]
    coded: Int[Tensor, "views"]
    on_border: Int[Tensor, "views"]
    beyond: Int[Tensor, "views"]
    unscaled: int
    repeated: Int[Tensor, "views joints"]


def count_detections(recording: Recording, done: Callable[[], None]) -> DetectionCounts:
    """Count the detections of a recording in one pass, part by part."""
    missing, repeated = torch.zeros(2, *recording.confidence.shape[1:], dtype=torch.long)
    histogram = torch.zeros(HISTOGRAM_BINS, dtype=torch.float64)
    known = certain = unscaled = 0
    outside, coded, on_border, beyond = torch.zeros(4, len(missing), dtype=torch.long)
    for part in recording.parts():
        scores = part.confidence[part.confidence > 0]
        missing += (~part.keypoints.isfinite().all(dim=-1)).sum(dim=0)
        histogram += torch.histc(scores, bins=HISTOGRAM_BINS, min=0.0, max=1.0)
        known += len(scores)
        certain += int((scores == 1).sum())
        unscaled += int(((part.confidence < 0) | (part.confidence > 1)).sum())
        outside += _outside(part, times=1.0).sum(dim=(0, 2))
        codes = torch.stack([(part.keypoints == code).all(dim=-1) for code in CODES]).any(dim=0)
        coded += codes.sum(dim=(0, 2))
        on_border += (_on_border(part) & ~codes).sum(dim=(0, 2))
        beyond += (_outside(part, times=0.0) & ~codes).sum(dim=(0, 2))
        same = part.keypoints[1:] == part.keypoints[:-1]  # False of NaN
        repeated += same.all(dim=-1).sum(dim=0)
        release_pages()
        done()
    return DetectionCounts(
        recording.frame_count, missing, histogram, known, certain, outside, coded, on_border,
        beyond, unscaled, repeated,
    )  # fmt: skip


def _outside(part: Recording, *, times: float) -> Bool[Tensor, "frames views joints"]:
    """Return which detections are further outside of the picture than so many times its size."""
    if part.cameras.image_size is None:
        return torch.zeros_like(part.confidence, dtype=torch.bool)
    size = part.cameras.image_size[:, None].to(part.keypoints)
    low, high = -times * size - 0.5, (1 + times) * size - 0.5
    return ((part.keypoints < low) | (part.keypoints > high)).any(dim=-1)


def _on_border(part: Recording) -> Bool[Tensor, "frames views joints"]:
    """Return which detections are exactly in the first or the last column or row of pixels."""
    if part.cameras.image_size is None:
        return torch.zeros_like(part.confidence, dtype=torch.bool)
    size = part.cameras.image_size[:, None].to(part.keypoints)
    borders = (part.keypoints == 0) | (part.keypoints == size - 1) | (part.keypoints == size)
    return borders.any(dim=-1)


def missing_share(counts: Sequence[DetectionCounts]) -> float:
    """Return the share of the detections of all recordings that are missing."""
    missing = sum(int(one.missing.sum()) for one in counts)
    return missing / max(1, sum(one.frames * one.missing.numel() for one in counts))


def missing_by_name(
    names: Sequence[Sequence[str]], counts: Sequence[DetectionCounts], axis: int
) -> dict[str, float]:
    """Average the share of missing detections over all recordings, by camera or by joint."""
    missing: dict[str, int] = {}
    possible: dict[str, int] = {}
    for own, one in zip(names, counts, strict=True):
        for name, part in zip(own, one.missing.unbind(axis), strict=True):
            missing[name] = missing.get(name, 0) + int(part.sum())
            possible[name] = possible.get(name, 0) + one.frames * part.numel()
    return {name: missing[name] / max(1, possible[name]) for name in missing}


def confidence_histogram(counts: Sequence[DetectionCounts]) -> tuple[float, ...]:
    """Return the share of the detections in each bin of the confidence."""
    total = torch.stack([one.histogram for one in counts]).sum(dim=0)
    return tuple((total / total.sum().clamp(min=1)).tolist())
