"""Convert recordings to training tensors: undistort, normalize, triangulate pseudo-labels."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from hashlib import sha256

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import pad

from multiview_geom import relative_transform, rigid_transform
from selfsup_lifting.config import Labels, TriangulationSettings
from selfsup_lifting.mapped import collect
from selfsup_lifting.read_errors import listed
from selfsup_lifting.recording import PART_FRAMES, Recording, require_kind
from selfsup_lifting.skeleton.skeletons import Skeleton, centered_on_root, joints_of, root_position
from selfsup_lifting.triangulate import DEFAULTS, normalized_image, triangulate_recording

# A view with a smaller share of the joints detected is not used.
LEAST_SEEN_SHARE = 0.5


@dataclass(frozen=True)
class Frames:
    """Frames of all recordings, as tensors on the training device; a batch is a subset.

    Recordings with fewer cameras are padded with views that have no detection.

    Attributes:
        image: Keypoints in normalized image coordinates (undistorted, multiplied by the inverse
            intrinsics) [focal lengths]; zero where not detected.
        seen: Which keypoints were detected.
        confidence: The detector's confidence, zero where not detected.
        labels: The joints relative to the root, in the world's axes [m]; zero where unknown.
        labelled: Which labels are known.
        camera_from_root: Each view's rigid transform from the world's axes with the origin moved
            to the root.
        origin: The place of the recording among all, and the number of the frame in it.
    """

    image: Float[Tensor, "frames views joints 2"]
    seen: Bool[Tensor, "frames views joints"]
    confidence: Float[Tensor, "frames views joints"]
    labels: Float[Tensor, "frames joints 3"]
    labelled: Bool[Tensor, "frames joints"]
    camera_from_root: Float[Tensor, "frames views 4 4"]
    origin: Int[Tensor, "frames 2"]

    def __len__(self) -> int:
        return self.image.shape[0]

    def select(self, chosen: Int[Tensor, "chosen"] | Bool[Tensor, "frames"]) -> "Frames":
        """Return the chosen frames."""
        return Frames(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def to(self, device: torch.device | str) -> "Frames":
        """Return the frames on another device."""
        return Frames(*(getattr(self, field.name).to(device) for field in fields(self)))

    def batches(self, frames_per_batch: int, seed: int | None) -> tuple[Int[Tensor, "chosen"], ...]:
        """Divide the frames into batches, all views of a frame together.

        The batches have nearly equal sizes: a last batch of one frame would break batch
        normalization.

        Args:
            frames_per_batch: Largest number of frames in a batch.
            seed: Random seed of the order; without one the frames keep their order.

        Returns:
            The places of the frames of each batch, on the device of the frames.
        """
        if seed is None:
            order = torch.arange(len(self))
        else:
            order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        places = order.to(self.image.device)
        return places.tensor_split(batch_count(len(self), frames_per_batch))

    def describe(self, chosen: Int[Tensor, "chosen"], names: Sequence[str]) -> str:
        """Describe a batch by the first frames of each recording, given the recordings' names."""
        origins = self.origin[chosen].cpu()
        parts = []
        for place, name in enumerate(names):
            numbers = sorted(origins[origins[:, 0] == place, 1].tolist())
            if numbers:
                parts.append(f"frames {listed(numbers)} of {name}")
        return "; ".join(parts)


def usable_frames(
    recordings: Sequence[Recording],
    labels: Labels = Labels.TRIANGULATED,
    triangulation: TriangulationSettings = DEFAULTS,
) -> Frames:
    """Return the same frames as `build_dataset`; there may be none."""
    root, views = common_skeleton(recordings).root, max(one.cameras.views for one in recordings)

    def parts() -> Iterator[tuple[Tensor, ...]]:
        for place, one in enumerate(recordings):
            for number, part in enumerate(one.parts()):
                world = _world_points(part, labels, triangulation)
                first = torch.tensor([place, number * PART_FRAMES])
                frames = _padded(_frames(part, world, first), views)
                yield tuple(vars(frames.select(usable_views(frames, root).any(dim=1))).values())

    return Frames(*collect(parts(), sum(one.frame_count for one in recordings)))


def batch_count(frames: int, frames_per_batch: int) -> int:
    """Return the number of batches in an epoch."""
    return max(1, -(-frames // frames_per_batch))


@torch.no_grad()
def build_dataset(
    recordings: Sequence[Recording],
    labels: Labels = Labels.TRIANGULATED,
    triangulation: TriangulationSettings = DEFAULTS,
) -> Frames:
    """Undistort, normalize and label recordings of one skeleton.

    Args:
        recordings: Recordings of one skeleton, with any number of cameras each.
        labels: Source of the labels; triangulated labels never use the ground truth.
        triangulation: How they are triangulated.

    Returns:
        The usable frames: the root is labelled, and at least one view is usable.

    Raises:
        ValueError: If there is no usable frame, skeletons differ, or the ground truth is asked
            for and missing.
    """
    skeleton = common_skeleton(recordings)
    frames = usable_frames(recordings, labels, triangulation)
    if len(frames) == 0:
        if all(recording.cameras.views == 1 for recording in recordings):
            raise ValueError(
                f"training needs two cameras or more that see the same person; "
                f"{recordings[0].name} has one"
            )
        names = ", ".join(recording.name for recording in recordings)
        root = " and ".join(skeleton.joints[joint] for joint in skeleton.root)
        raise ValueError(
            f"no frame of {names} can be learned from: in none is the root ({root}) seen by two "
            "views that agree; likely causes: a wrong calibration or skeleton, a `min_confidence` "
            "that is too high, or a `threshold_px` that is too small"
        )
    return frames


@torch.no_grad()
def fingerprint(recordings: Sequence[Recording]) -> str:
    """Return a hash of what a training learns from, which tells other data, not their truth.

    It depends on the number of frames, the cameras and the sums of all detections, so that it is
    the same on every machine.
    """
    content = sha256()
    for one in recordings:
        sums = [
            total
            for part in one.parts()
            for total in (part.keypoints.double().nansum(), part.confidence.double().sum())
        ]
        rig = one.cameras.projections.double().flatten()
        numbers = [f"{number:.4g}" for number in (*rig.tolist(), *map(float, sums))]
        names = (one.name, str(one.frame_count), *one.cameras.names, *one.skeleton.joints)
        content.update(" ".join([*names, *numbers]).encode())
    return content.hexdigest()


def common_skeleton(recordings: Sequence[Recording]) -> Skeleton:
    """Return the skeleton of all recordings; raise a ValueError if one of them differs."""
    if not recordings:
        raise ValueError("there is no recording")
    for one in recordings:
        require_kind("recordings", one, Recording)
    first = recordings[0]
    for recording in recordings:
        if recording.skeleton != first.skeleton:
            raise ValueError(
                f"recordings must share a skeleton: {first.name} has {first.skeleton.name}, "
                f"{recording.name} has {recording.skeleton.name}, "
                f"{recording.skeleton.difference(first.skeleton)}; map all with "
                "`Recording.to_skeleton` or --skeleton"
            )
    return first.skeleton


def usable_views(frames: Frames, root: tuple[int, ...]) -> Bool[Tensor, "frames views"]:
    """Return which views have the root and at least half of the joints detected."""
    enough = frames.seen.float().mean(dim=-1) >= LEAST_SEEN_SHARE
    return enough & joints_of(frames.seen, root, dim=-1).all(dim=-1)


def _frames(
    recording: Recording, world: Float[Tensor, "frames joints 3"], first: Int[Tensor, "2"]
) -> Frames:
    """Convert a recording and its labels to frames, without those whose root has no label.

    `first` is the origin of the first frame.
    """
    numbers = torch.arange(recording.frame_count)
    root = recording.skeleton.root
    image = normalized_image(recording.cameras, recording.keypoints)
    seen = image.isfinite().all(dim=-1)
    origin = root_position(world, root)
    rooted = origin.isfinite().all(dim=-1)[:, 0]
    labelled = world.isfinite().all(dim=-1)
    relative = torch.where(labelled[..., None], world - origin, 0.0)
    root_from_world = rigid_transform(torch.eye(3).to(origin), -origin)
    camera_from_root = relative_transform(recording.cameras.camera_from_world, root_from_world)
    frames = Frames(
        image=torch.where(seen[..., None], image, 0.0).float(),
        seen=seen,
        confidence=torch.where(seen, recording.confidence, 0.0).float(),
        labels=relative.float(),
        labelled=labelled,
        camera_from_root=camera_from_root.float(),
        origin=first + torch.stack([torch.zeros_like(numbers), numbers], dim=1),
    )
    return frames.select(rooted)


def _world_points(
    recording: Recording, labels: Labels, triangulation: TriangulationSettings
) -> Float[Tensor, "frames joints 3"]:
    if labels is Labels.TRIANGULATED:
        return triangulate_recording(recording, triangulation).points
    if recording.truth is None:
        raise ValueError(f"supervised training needs ground truth, {recording.name} has none")
    return recording.truth.double()


def _padded(frames: Frames, views: int) -> Frames:
    """Add views without detections; their cameras are one meter from the root."""
    more = views - frames.image.shape[1]
    added = torch.eye(4, dtype=torch.float32).expand(len(frames), more, 4, 4).clone()
    added[..., 2, 3] = 1.0
    return replace(
        frames,
        image=pad(frames.image, (0, 0, 0, 0, 0, more)),
        seen=pad(frames.seen, (0, 0, 0, more)),
        confidence=pad(frames.confidence, (0, 0, 0, more)),
        camera_from_root=torch.cat([frames.camera_from_root, added], dim=1),
    )


def centered_image(frames: Frames, root: tuple[int, ...]) -> Float[Tensor, "frames views joints 2"]:
    """Return each view's detections relative to the root in its image [focal lengths]."""
    return centered_on_root(frames.image, frames.seen, root)


def pair_mask(frames: Frames, root: tuple[int, ...]) -> Bool[Tensor, "frames source target joints"]:
    """Return which joints of a source view's prediction can be compared in a target view."""
    usable = usable_views(frames, root)
    return usable[:, :, None, None] & (usable[..., None] & frames.seen)[:, None]
