"""What one camera's files say, before anybody decides who is who."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.recordings import ReadError
from selfsup_lifting.skeletons import Skeleton

# A gap between two frames above this is a damaged frame number and no pause.
LONGEST_GAP = 100_000


@dataclass(frozen=True)
class ViewTracks:
    """Everybody that one camera's detector saw.

    Attributes:
        camera: What the file or folder calls the camera.
        source: The file or folder.
        skeleton: What the joints are.
        first_frame: The number of the first frame, as the files count.
        keypoints: Where each person's joints are [px], NaN where missing or nobody.
        confidence: The detector's trust, from 0 to 1; 0 where missing.
        tracked: Whether a person keeps a place through the frames; else places mean nothing.
    """

    camera: str
    source: Path
    skeleton: Skeleton
    first_frame: int
    keypoints: Float[Tensor, "frames people joints 2"]
    confidence: Float[Tensor, "frames people joints"]
    tracked: bool = False

    @property
    def frame_count(self) -> int:
        """How many frames there are."""
        return self.keypoints.shape[0]


@dataclass(frozen=True)
class Sighting:
    """One person in one frame: x, y and confidence of every joint, as the file says."""

    frame: int
    numbers: Float[Tensor, "joints 3"]


def gather_sightings(
    camera: str, source: Path, skeleton: Skeleton, frames: range, sightings: list[Sighting]
) -> ViewTracks:
    """Lay sightings out by frame, in the order of the file within each frame.

    Args:
        camera: What the file or folder calls the camera.
        source: The file or folder.
        skeleton: What the joints are.
        frames: The numbers of the frames that the files cover.
        sightings: Everybody who was seen, in any order of frames.

    Returns:
        The tracks; a joint of confidence zero, or at no finite place, is missing.
    """
    places: dict[int, int] = {}
    rows: list[tuple[int, int, Tensor]] = []
    for sighting in sightings:
        place = places.get(sighting.frame, 0)
        places[sighting.frame] = place + 1
        rows.append((sighting.frame - frames.start, place, sighting.numbers))
    people = max(places.values(), default=1)
    numbers = torch.full((len(frames), people, len(skeleton.joints), 3), torch.nan)
    if rows:
        at, place_of = (torch.tensor([row[axis] for row in rows]) for axis in (0, 1))
        numbers[at, place_of] = torch.stack([row[2] for row in rows]).float()
    keypoints, confidence = without_missing(numbers[..., :2], numbers[..., 2])
    return ViewTracks(camera, source, skeleton, frames.start, keypoints, confidence)


def without_missing(
    keypoints: Float[Tensor, "*batch 2"], confidence: Float[Tensor, "*batch"]
) -> tuple[Float[Tensor, "*batch 2"], Float[Tensor, "*batch"]]:
    """Write missing joints as NaN with confidence zero, and trust nothing above one."""
    seen = keypoints.isfinite().all(dim=-1) & confidence.isfinite() & (confidence > 0)
    return (
        torch.where(seen[..., None], keypoints, torch.nan),
        torch.where(seen, confidence, 0.0).clamp(max=1.0),
    )


def covering_range(source: Path, frames: list[int]) -> range:
    """Return the range that covers all frame numbers, unless one of them is absurd."""
    ordered = sorted(set(frames))
    for earlier, later in pairwise(ordered):
        if later - earlier > LONGEST_GAP:
            raise ReadError(
                f"{source}: frame {later} follows frame {earlier}; a gap of more than "
                f"{LONGEST_GAP} frames is taken for a damaged frame number"
            )
    return range(ordered[0], ordered[-1] + 1) if ordered else range(0)
