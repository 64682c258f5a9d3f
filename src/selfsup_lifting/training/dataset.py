"""Recordings to training tensors: undistorted, normalised, pseudo-labelled."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from multiview_geom import (
    Cameras,
    relative_transform,
    rigid_transform,
)
from selfsup_lifting.config import Labels, TriangulationSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import Skeleton, centred_on_root, root_position
from selfsup_lifting.triangulate import PLAIN, normalised_image, triangulate_recording

# A view that sees less of the body than this share of the joints is no input to learn from.
LEAST_SEEN_SHARE = 0.5


@dataclass(frozen=True)
class Frames:
    """Frames of all recordings, as tensors on the training device; a batch is some of them.

    Views are padded with views that see nothing where recordings have fewer cameras.

    Attributes:
        image: Keypoints, undistorted and divided by the intrinsics [focal lengths]; zero where
            not seen.
        seen: Which keypoints there are.
        confidence: The detector's trust, zero where not seen.
        labels: The joints relative to the root, in the world's axes [m]; zero where unknown.
        labelled: Which labels there are.
        camera_from_root: Each view's rigid transform from the world's axes, moved to the root.
    """

    image: Float[Tensor, "frames views joints 2"]
    seen: Bool[Tensor, "frames views joints"]
    confidence: Float[Tensor, "frames views joints"]
    labels: Float[Tensor, "frames joints 3"]
    labelled: Bool[Tensor, "frames joints"]
    camera_from_root: Float[Tensor, "frames views 4 4"]

    def __len__(self) -> int:
        return self.image.shape[0]

    def select(self, chosen: Int[Tensor, "chosen"] | Bool[Tensor, "frames"]) -> "Frames":
        """Return the chosen frames."""
        return Frames(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def to(self, device: torch.device | str) -> "Frames":
        """Return the frames on another device."""
        return Frames(*(getattr(self, field.name).to(device) for field in fields(self)))

    def shuffled_batches(self, frames_per_batch: int, seed: int) -> Iterator["Frames"]:
        """Go through the frames once, in random order, all views of a frame together.

        Batches are as equal as can be: a last batch of one frame would spoil batch
        normalisation.
        """
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        for chosen in order.tensor_split(batch_count(len(self), frames_per_batch)):
            yield self.select(chosen.to(self.image.device))

    def ordered_batches(self, frames_per_batch: int) -> Iterator["Frames"]:
        """Go through the frames once, in the order of the takes, all views of a frame together."""
        order = torch.arange(len(self), device=self.image.device)
        for chosen in order.tensor_split(batch_count(len(self), frames_per_batch)):
            yield self.select(chosen)


def batch_count(frames: int, frames_per_batch: int) -> int:
    """Tell how many batches an epoch has."""
    return max(1, -(-frames // frames_per_batch))


def build_dataset(
    recordings: Sequence[Recording],
    labels: Labels = Labels.TRIANGULATED,
    triangulation: TriangulationSettings = PLAIN,
) -> Frames:
    """Undistort, normalise and label recordings of one skeleton.

    Args:
        recordings: Takes of one skeleton, with any number of cameras each.
        labels: Where the labels come from; triangulated labels never look at the truth.
        triangulation: How they are triangulated.

    Returns:
        The frames that can teach something: the root is labelled, and some view sees enough.

    Raises:
        ValueError: If there is no such frame, skeletons differ, or a truth asked for is missing.
    """
    skeleton = common_skeleton(recordings)
    takes = [
        _frames(recording, _world(recording, labels, triangulation)) for recording in recordings
    ]
    views = max(take.image.shape[1] for take in takes)
    frames = _joined([_padded(take, views) for take in takes])
    frames = frames.select(usable_views(frames, skeleton.root).any(dim=1))
    if len(frames) == 0:
        names = ", ".join(recording.name for recording in recordings)
        raise ValueError(
            f"no frame of {names} can be learned from: in none is the root "
            f"({_root_names(skeleton)}) seen by two views; likely a wrong calibration, skeleton "
            "or confidence threshold"
        )
    return frames


def common_skeleton(recordings: Sequence[Recording]) -> Skeleton:
    """Return the skeleton that all recordings share, or say which one differs."""
    if not recordings:
        raise ValueError("there is no recording to work on")
    first = recordings[0]
    for recording in recordings:
        if recording.skeleton != first.skeleton:
            raise ValueError(
                f"recordings must share a skeleton: {first.name} has {first.skeleton.name}, "
                f"{recording.name} has {recording.skeleton.name}; map all with --skeleton"
            )
    return first.skeleton


def usable_views(frames: Frames, root: tuple[int, ...]) -> Bool[Tensor, "frames views"]:
    """Tell which views see the root and enough of the body to be learned from."""
    enough = frames.seen.float().mean(dim=-1) >= LEAST_SEEN_SHARE
    return enough & frames.seen[..., list(root)].all(dim=-1)


def _frames(recording: Recording, world: Float[Tensor, "frames joints 3"]) -> Frames:
    """Turn a take and its labels into frames; those whose root has no label are left out."""
    root = recording.skeleton.root
    image = normalised_image(recording.cameras, recording.keypoints)
    seen = image.isfinite().all(dim=-1)
    origin = root_position(world, root)
    rooted = origin.isfinite().all(dim=-1)[:, 0]
    labelled = world.isfinite().all(dim=-1)
    relative = torch.where(labelled[..., None], world - origin, 0.0)
    frames = Frames(
        image=torch.where(seen[..., None], image, 0.0).float(),
        seen=seen,
        confidence=torch.where(seen, recording.confidence, 0.0),
        labels=relative.float(),
        labelled=labelled,
        camera_from_root=_camera_from_root(recording.cameras, origin[:, 0]).float(),
    )
    return frames.select(rooted)


def _world(
    recording: Recording, labels: Labels, triangulation: TriangulationSettings
) -> Float[Tensor, "frames joints 3"]:
    if labels is Labels.TRIANGULATED:
        return triangulate_recording(recording, triangulation).points
    if recording.truth is None:
        raise ValueError(f"supervised training needs a truth, {recording.name} has none")
    return recording.truth.double()


def _camera_from_root(
    cameras: Cameras, origin: Float[Tensor, "frames 3"]
) -> Float[Tensor, "frames views 4 4"]:
    upright = torch.eye(3).to(origin)
    root_from_world = rigid_transform(upright, -origin)
    return relative_transform(cameras.camera_from_world, root_from_world[:, None])


def _padded(take: Frames, views: int) -> Frames:
    """Add views that see nothing; their cameras stand a metre from the root."""
    more = views - take.image.shape[1]
    blind = torch.eye(4).expand(len(take), more, 4, 4).clone()
    blind[..., 2, 3] = 1.0
    return Frames(
        image=pad(take.image, (0, 0, 0, 0, 0, more)),
        seen=pad(take.seen, (0, 0, 0, more)),
        confidence=pad(take.confidence, (0, 0, 0, more)),
        labels=take.labels,
        labelled=take.labelled,
        camera_from_root=torch.cat([take.camera_from_root, blind], dim=1),
    )


def _joined(takes: Sequence[Frames]) -> Frames:
    return Frames(
        *(torch.cat([getattr(take, field.name) for take in takes]) for field in fields(Frames))
    )


def _root_names(skeleton: Skeleton) -> str:
    return " and ".join(skeleton.joints[joint] for joint in skeleton.root)


def centred_image(frames: Frames, root: tuple[int, ...]) -> Float[Tensor, "frames views joints 2"]:
    """Return what each view saw, relative to the root in its image [focal lengths]."""
    return centred_on_root(frames.image, frames.seen, root)
