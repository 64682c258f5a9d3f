"""What one camera's files say, before anybody decides who is who."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.skeletons import Skeleton

# Confidences up to this are round-off of one; above, the detector counts otherwise.
LARGEST_CONFIDENCE = 1.05
TYPICAL_LARGEST = 0.99


class Scale(Enum):
    """What the coordinates of a file count."""

    PIXELS = "px"
    ZERO_TO_ONE = "shares of the image, 0 to 1"
    PLUS_MINUS_ONE = "shares of the image, -1 to 1"


@dataclass(frozen=True)
class ViewTracks:
    """Everybody that one camera's detector saw.

    Attributes:
        camera: What the file or folder calls the camera.
        source: The file or folder.
        layout: Who wrote it, for people: "OpenPose", "DeepLabCut", ...
        skeleton: What the joints are.
        first_frame: The number of the first frame, as the file counts.
        keypoints: Where each person's joints are, NaN where missing or nobody.
        confidence: The detector's trust, from 0 to 1; 0 where missing.
        scale: What the keypoints count.
        people: What each person is called where people keep their places through the frames;
            empty where places mean nothing.
        image_size: Width and height where the file tells them [px].
        fps: Frames per second where the file tells them [1/s].
        every_frame: Whether the file tells of every frame, also of those with nobody.
        whole_span: Whether the file tells at least of the first and the last frame.
        rivals: The skeletons it may be where only anatomy tells them apart, `skeleton` first;
            empty where the skeleton is certain.
        notes: What a user should know about the reading.
    """

    camera: str
    source: Path
    layout: str
    skeleton: Skeleton
    first_frame: int
    keypoints: Float[Tensor, "frames people joints 2"]
    confidence: Float[Tensor, "frames people joints"]
    scale: Scale = Scale.PIXELS
    people: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    every_frame: bool = True
    whole_span: bool = True
    rivals: tuple[str, ...] = ()
    notes: tuple[str, ...] = field(default=())

    @property
    def frame_count(self) -> int:
        """How many frames there are."""
        return self.keypoints.shape[0]

    def with_joints(self, skeleton: Skeleton, order: Sequence[int]) -> "ViewTracks":
        """Return the chosen joints, in the order of another skeleton."""
        chosen = list(order)
        return replace(
            self,
            skeleton=skeleton,
            keypoints=self.keypoints[:, :, chosen],
            confidence=self.confidence[:, :, chosen],
        )

    def in_pixels(self, image_size: tuple[int, int]) -> "ViewTracks":
        """Return the tracks in pixels of a picture of the given width and height."""
        if self.scale is Scale.PIXELS:
            return self
        corner = torch.tensor(image_size) - 1.0
        shares = self.keypoints
        if self.scale is Scale.PLUS_MINUS_ONE:
            shares = (shares + 1) / 2
        return replace(self, keypoints=shares * corner, scale=Scale.PIXELS)

    def during(self, frames: range) -> "ViewTracks":
        """Return the given frames, as the files number them; those outside are missing."""
        count, first = len(frames), frames.start - self.first_frame
        begin, end = max(0, first), min(self.frame_count, first + count)
        keypoints = self.keypoints.new_full((count, *self.keypoints.shape[1:]), torch.nan)
        confidence = self.confidence.new_zeros((count, *self.confidence.shape[1:]))
        keypoints[begin - first : end - first] = self.keypoints[begin:end]
        confidence[begin - first : end - first] = self.confidence[begin:end]
        return replace(self, first_frame=frames.start, keypoints=keypoints, confidence=confidence)


def view_tracks(  # noqa: PLR0913 - one argument for each thing a file tells
    camera: str,
    source: Path,
    layout: str,
    skeleton: Skeleton,
    numbers: Float[Tensor, "frames people joints 3"],
    *,
    first_frame: int = 0,
    people: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> ViewTracks:
    """Make sense of x, y and confidence as a file tells them.

    Args:
        camera: What the file or folder calls the camera.
        source: The file or folder.
        layout: Who wrote it.
        skeleton: What the joints are.
        numbers: x, y and confidence.
        first_frame: The number of the first frame.
        people: What the people are called, where they keep their places.
        notes: What a user should know already.

    Returns:
        The tracks: a joint of confidence zero or at no finite place is missing; confidences
        that exceed one are divided by what they reach at most; shares of the image are told
        from pixels.

    Raises:
        ReadError: If some frames count pixels and others shares of the image.
    """
    keypoints, confidence = numbers[..., :2], numbers[..., 2]
    seen = keypoints.isfinite().all(dim=-1) & confidence.isfinite() & (confidence > 0)
    keypoints = torch.where(seen[..., None], keypoints, torch.nan)
    confidence = torch.where(seen, confidence, 0.0)
    largest = _largest_confidence(confidence)
    if largest > 1:
        notes = (*notes, f"{source}: confidences reach {largest:.3g} and are divided by it")
    return ViewTracks(
        camera=camera,
        source=source,
        layout=layout,
        skeleton=skeleton,
        first_frame=first_frame,
        keypoints=keypoints,
        confidence=(confidence / largest).clamp(max=1.0),
        scale=_scale(source, keypoints, seen, first_frame),
        people=people,
        notes=notes,
    )


def _largest_confidence(confidence: Float[Tensor, "frames people joints"]) -> float:
    """Return what confidences reach, but for the highest hundredth; one where they are shares."""
    known = confidence[confidence > 0]
    if not len(known) or known.max() <= LARGEST_CONFIDENCE:
        return 1.0
    ranked = known.sort().values
    return max(1.0, float(ranked[int(TYPICAL_LARGEST * (len(ranked) - 1))]))


def _scale(
    source: Path,
    keypoints: Float[Tensor, "frames people joints 2"],
    seen: Bool[Tensor, "frames people joints"],
    first_frame: int,
) -> Scale:
    """Tell shares of the image from pixels: nobody fits into a pixel."""
    somebody = seen.sum(dim=-1) > 1
    reach = keypoints.abs().nan_to_num(0.0).amax(dim=(-2, -1))
    small = somebody & (reach <= 1)
    if not small.any():
        return Scale.PIXELS
    if (somebody & ~small).any():
        frame = first_frame + int(small.any(dim=1).nonzero()[0])
        raise ReadError(
            f"{source}, frame {frame}: coordinates between -1 and 1 among frames in pixels; "
            "the file mixes two scales"
        )
    return Scale.PLUS_MINUS_ONE if (keypoints < 0).any() else Scale.ZERO_TO_ONE
