"""Everybody whom one camera's detector found, and what a detector's file format offers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfsup_lifting.parse.json_values import LARGEST_NUMBER
from selfsup_lifting.read_errors import Place
from selfsup_lifting.skeleton.infer import Body
from selfsup_lifting.skeleton.skeletons import Skeleton

# Confidences up to this are ones with round-off; larger ones are on another scale.
LARGEST_CONFIDENCE = 1.05
# On another scale, this quantile of the confidences becomes one.
TYPICAL_LARGEST = 0.99

# By this share of its size, a joint that is detected may be outside of the picture.
BEYOND = 0.1


class Scale(Enum):
    """The unit of the coordinates in a file."""

    PIXELS = "px"
    ZERO_TO_ONE = "between 0 and 1"
    PLUS_MINUS_ONE = "between -1 and 1"
    SHARES = "shares of width and height"


@dataclass(frozen=True)
class ViewTracks:
    """Everybody whom one camera's detector found.

    Attributes:
        camera: The name of the camera, as the file or folder has it.
        source: The file or folder.
        format: The program that wrote it: "OpenPose", "DeepLabCut", ...
        skeleton: The joints.
        first_frame: The number of the first frame, as the file counts.
        keypoints: The joints of each person; NaN where missing.
        confidence: The detector's confidence, from 0 to 1; 0 where missing.
        scale: The unit of the keypoints.
        people: The name of each person, if people keep their index in all frames; else empty.
        image_size: Width and height of the image [px], if the file has them.
        fps: Frames per second [1/s], if the file has them.
        first_time: The time of the first frame [s], if the file has it.
        every_frame: Whether the file contains all frames, also those without a person.
        whole_span: Whether the file contains at least the first and the last frame.
        frame_files: The numbers of the frames that have a file of their own; empty if one file
            contains all frames.
        candidates: The names of the skeletons that these joints can be, if their number fits
            several, `skeleton` first; else empty.
        notes: What a user should know about how the file was read.
        unscored: How many points have no score, and count as certain.
        markers: Each joint with its name in the file; empty if the file numbers its joints.
    """

    camera: str
    source: Path
    format: str
    skeleton: Skeleton
    first_frame: int
    keypoints: Float[Tensor, "frames people joints 2"]
    confidence: Float[Tensor, "frames people joints"]
    scale: Scale = Scale.PIXELS
    people: tuple[str, ...] = ()
    image_size: tuple[int, int] | None = None
    fps: float | None = None
    first_time: float | None = None
    every_frame: bool = True
    whole_span: bool = True
    frame_files: tuple[int, ...] = ()
    candidates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    unscored: int = 0
    markers: tuple[tuple[str, str], ...] = ()

    @property
    def frame_count(self) -> int:
        """The number of frames."""
        return self.keypoints.shape[0]

    @property
    def last_frame(self) -> int:
        """The number of the last frame, as the file counts."""
        return self.first_frame + self.frame_count - 1

    def in_pixels(self, image_size: tuple[int, int]) -> "ViewTracks":
        """Return the tracks in pixels of an image of the given width and height."""
        if self.scale is Scale.PIXELS:
            return self
        corner = torch.tensor(image_size) - (0.0 if self.scale is Scale.SHARES else 1.0)
        fractions = self.keypoints
        if self.scale is Scale.PLUS_MINUS_ONE:
            fractions = (fractions + 1) / 2
        return replace(self, keypoints=fractions * corner, scale=Scale.PIXELS)

    def during(self, frames: range) -> "ViewTracks":
        """Return the frames with the given numbers; those that the file lacks are missing."""
        count, first = len(frames), frames.start - self.first_frame
        begin, end = max(0, first), min(self.frame_count, first + count)
        keypoints = self.keypoints.new_full((count, *self.keypoints.shape[1:]), torch.nan)
        confidence = self.confidence.new_zeros((count, *self.confidence.shape[1:]))
        keypoints[begin - first : end - first] = self.keypoints[begin:end]
        confidence[begin - first : end - first] = self.confidence[begin:end]
        return replace(self, first_frame=frames.start, keypoints=keypoints, confidence=confidence)


@dataclass(frozen=True)
class DetectorFormat:
    """A file format for 2D tracks.

    Attributes:
        name: The name of the format in messages.
        recognizes: Whether a file or folder is in this format; it raises no error.
        read: Reads every camera of a file or folder: everybody in every frame. Its second argument
            is the skeleton that the user or the project declares; if it is None, the skeleton is
            found from the names or the number of the joints. It raises a `ReadError` if the file
            is damaged or in another format.
        folder_of_cameras: Whether a folder in this format may hold several cameras.
    """

    name: str
    recognizes: Callable[[Path], bool]
    read: Callable[[Path, Skeleton | None], list[ViewTracks]]
    folder_of_cameras: bool = False


def view_tracks(  # noqa: PLR0913 - one argument for each thing in a file
    camera: str,
    source: Path,
    format: str,
    body: Body,
    numbers: Float[Tensor, "frames people joints 3"],
    *,
    first_frame: int = 0,
    people: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> ViewTracks:
    """Build the tracks of one camera from the numbers in a file.

    Args:
        camera: The name of the camera.
        source: The file or folder.
        format: The program that wrote it.
        body: The skeleton, and the index of each of its joints in the file.
        numbers: x, y and confidence of every joint in the file.
        first_frame: The number of the first frame.
        people: The names of the people, if they keep their index in all frames.
        notes: Notes to which those about the confidences are added.

    Returns:
        The tracks. A joint is missing if its confidence is not above zero or a coordinate is not
        finite. A
        finite joint whose confidence is NaN has no score, and counts as certain. Confidences above
        one are divided by a typical largest confidence. Coordinates of at most one are recognized
        as fractions of the image size.

    Raises:
        ReadError: If some frames are in pixels and others in fractions of the image size.
    """
    numbers = numbers[:, :, list(body.order)]
    numbers = torch.where(numbers.abs() > LARGEST_NUMBER, torch.inf, numbers)
    keypoints, confidence = numbers[..., :2], numbers[..., 2]
    located = keypoints.isfinite().all(dim=-1)
    unscored = located & confidence.isnan()
    scored = located & confidence.isfinite() & (confidence > 0)
    seen = scored | unscored
    keypoints = torch.where(seen[..., None], keypoints, torch.nan)
    confidence = torch.where(scored, confidence, 0.0)
    notes = (*notes, *_notes_on_odd_points(source, numbers, located))
    largest = _largest_confidence(confidence)
    if largest > 1:
        notes = (*notes, f"{source}: confidences up to {largest:.3g} were divided by {largest:.3g}")
    return ViewTracks(
        camera, source, format, body.skeleton, first_frame, keypoints,
        confidence=torch.where(unscored, 1.0, (confidence / largest).clamp(max=1.0)),
        scale=_scale(source, keypoints, seen, first_frame),
        people=people,
        candidates=body.candidates,
        notes=notes,
        unscored=int(unscored.sum()),
        markers=body.markers,
    )  # fmt: skip


def _notes_on_odd_points(
    source: Path,
    numbers: Float[Tensor, "frames people joints 3"],
    located: Bool[Tensor, "frames people joints"],
) -> Iterator[str]:
    """Yield a note on each kind of points that count as missing and that no detector writes."""
    pixels, confidence = numbers[..., :2], numbers[..., 2]
    doubted = located & (confidence == 0) & (pixels != 0).any(dim=-1)
    odd = {
        "only one coordinate": pixels.isnan().sum(dim=-1) == 1,
        "an infinite coordinate, or one that is too large": pixels.isinf().any(dim=-1),
        "a negative confidence": located & (confidence < 0),
        "an infinite confidence": located & (confidence == torch.inf),
        "the confidence 0, as all in the file": doubted & ~(located & (confidence != 0)).any(),
    }
    for what, points in odd.items():
        if count := int(points.sum()):
            yield f"{source}: {count} points have {what}: missing"


def _largest_confidence(confidence: Float[Tensor, "frames people joints"]) -> float:
    """Return the confidence that becomes one."""
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
    """Recognize fractions of the image size: no person fits into one pixel."""
    somebody = seen.sum(dim=-1) > 1
    reach = keypoints.abs().nan_to_num(0.0).amax(dim=(-2, -1))
    small = somebody & (reach <= 1)
    if not small.any():
        return Scale.PIXELS
    if (somebody & ~small).any():
        frame = first_frame + int(small.any(dim=1).nonzero()[0])
        raise Place(source, frame=frame).error(
            "expected pixels as in other frames, got coordinates between -1 and 1; "
            "the file mixes two scales"
        )
    return Scale.PLUS_MINUS_ONE if (keypoints < -BEYOND).any() else Scale.ZERO_TO_ONE
