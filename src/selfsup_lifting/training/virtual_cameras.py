"""Virtual cameras: film the pseudo-labels from drawn viewpoints.

A rig shows a body from a few directions only. A pseudo-label can be projected into any camera: that
gives any number of exact pairs of 2D and 3D poses. The cameras are drawn around the root, from
ranges that cover those of the rig and exceed them. The detector's errors are drawn from the
measured ones: a virtual view gets the residuals, the missing joints and the confidences of one real
view, with all its joints, so that their relations stay as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from math import radians

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import invert_transform, look_at, transform_points, world_to_camera
from selfsup_lifting.config import AugmentationSettings, Labels
from selfsup_lifting.recording import Recording
from selfsup_lifting.self_calibration.body import find_vertical
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.augmentation import mixed
from selfsup_lifting.training.dataset import Frames, usable_views
from selfsup_lifting.training.limb_mixing import mix_limbs, upright_axes

# The ranges exceed those of the rig by this factor of the distance, by this offset of the root from
# the center of the image [focal lengths], and by this elevation.
FARTHER, OFF_CENTER = 1.3, 0.1
HIGHER = radians(15.0)
# Elevations that are always drawn: from a camera at the floor to one at the ceiling.
LOWEST, HIGHEST = radians(-10.0), radians(45.0)
# Ranges of the rig are between these quantiles: single wrong labels do not count.
QUANTILES = (0.01, 0.99)
# A pseudo-label of V views is fitted to 2 V numbers with 3 unknowns, which makes its residuals
# smaller than the errors of the detector; larger residuals than this many times the median were no
# part of the fit.
UNKNOWNS, COORDINATES = 3, 2
OUTLIER = 5.0


@dataclass(frozen=True)
class VirtualCameras:
    """The ranges that virtual cameras are drawn from, and the errors of the detector.

    Attributes:
        up: The vertical of each recording's world.
        distance: Least and largest distance of a camera from the root [m].
        elevation: Least and largest angle of a camera above the root [rad].
        offset: Least and largest position of the root in an image [focal lengths].
        residuals: The detections of every real view minus the projected labels, at the root's
            distance [m].
        seen: Which joints these views detected.
        confidence: The confidences of these views.
    """

    up: Float[Tensor, "recordings 3"]
    distance: Float[Tensor, "2"]
    elevation: Float[Tensor, "2"]
    offset: Float[Tensor, "2 2"]
    residuals: Float[Tensor, "real joints 2"]
    seen: Bool[Tensor, "real joints"]
    confidence: Float[Tensor, "real joints"]

    def to(self, device: torch.device | str) -> "VirtualCameras":
        """Return the same on another device."""
        return VirtualCameras(*(getattr(self, field.name).to(device) for field in fields(self)))

    def film(self, frames: Frames, skeleton: Skeleton, mixed_limbs: float = 0.0) -> Frames:
        """Film the labels of frames by drawn cameras; uses the global random number generator.

        Args:
            frames: The frames.
            skeleton: Their skeleton.
            mixed_limbs: Share of the limbs that come from other frames.
        """
        up = self.up[frames.origin[:, 0]]
        labels, labelled = mix_limbs(
            frames.labels, frames.labelled, upright_axes(up), skeleton, mixed_limbs
        )
        frames = replace(frames, labels=labels, labelled=labelled)
        poses = self._draw_cameras(frames)
        ideal = world_to_camera(poses, frames.labels)
        distance = poses[..., :3, 3].norm(dim=-1)[..., None]
        donor = torch.randint(len(self.seen), poses.shape[:2], device=distance.device)
        in_front = ideal[..., 2] > 0
        seen = self.seen[donor] & frames.labelled[:, None] & in_front
        image = ideal[..., :2] / torch.where(in_front, ideal[..., 2], 1.0)[..., None]
        image = image + self.residuals[donor] / distance[..., None]
        return replace(
            frames,
            image=torch.where(seen[..., None], image, 0.0),
            seen=seen,
            confidence=torch.where(seen, self.confidence[donor], 0.0),
            camera_from_root=poses,
        )

    def _draw_cameras(self, frames: Frames) -> Float[Tensor, "frames views 4 4"]:
        shape, device = frames.seen.shape[:2], frames.image.device

        def between(ends: Float[Tensor, "2"]) -> Float[Tensor, "frames views"]:
            return ends[0] + (ends[1] - ends[0]) * torch.rand(
                shape, dtype=torch.float32, device=device
            )

        up = self.up[frames.origin[:, 0]][:, None].expand(*shape, 3)
        distance = between(self.distance.log()).exp()[..., None]
        level = torch.linalg.cross(up, torch.randn(*shape, 3, dtype=torch.float32, device=device))
        level = level / level.norm(dim=-1, keepdim=True)
        elevation = between(self.elevation)[..., None]
        center = distance * (elevation.cos() * level + elevation.sin() * up)
        to_root = look_at(center, torch.zeros_like(center), up)
        offset = torch.stack([between(ends) for ends in self.offset], dim=-1)
        aim = -distance * (offset[..., None, :] @ to_root[..., :2, :3])[..., 0, :]
        return look_at(center, aim, up)


@torch.no_grad()
def virtual_cameras(
    frames: Frames,
    recordings: Sequence[Recording],
    skeleton: Skeleton,
    labels: Labels = Labels.TRIANGULATED,
) -> VirtualCameras:
    """Measure the ranges of a rig, and the errors of its detector.

    Args:
        frames: The training frames; their labels are the only 3D poses that are used.
        recordings: The recordings that they were made from.
        skeleton: Their skeleton.
        labels: What the labels are; only triangulated ones are fitted to the detections.
    """
    used = usable_views(frames, skeleton.root)
    to_root = frames.camera_from_root[..., :3, 3]
    distance = to_root.norm(dim=-1)
    up = _verticals(frames, recordings, skeleton)
    centers = invert_transform(frames.camera_from_root)[..., :3, 3]
    height = (centers * up[frames.origin[:, 0]][:, None]).sum(dim=-1) / distance
    elevation = _ends(height[used].clamp(-1.0, 1.0).asin())
    offset = (to_root[..., :2] / to_root[..., 2:])[used]
    reach = torch.tensor([1.0 / FARTHER, FARTHER]).to(distance)
    return VirtualCameras(
        up=up,
        distance=_ends(distance[used]) * reach,
        elevation=torch.stack(
            [(elevation[0] - HIGHER).clamp(max=LOWEST), (elevation[1] + HIGHER).clamp(min=HIGHEST)]
        ),
        offset=torch.stack([_ends(one) for one in offset.unbind(dim=-1)])
        + offset.new_tensor([-OFF_CENTER, OFF_CENTER]),
        **_detector_errors(frames, UNKNOWNS if labels is Labels.TRIANGULATED else 0),
    )


def mix_in_virtual(
    frames: Frames, cameras: VirtualCameras, settings: AugmentationSettings, skeleton: Skeleton
) -> Frames:
    """Film a random share of the frames by virtual cameras instead of the rig's.

    Uses the global random number generator.
    """
    chosen = (
        torch.rand(len(frames), dtype=torch.float32, device=frames.image.device)
        < settings.virtual_share
    )
    return mixed(chosen, cameras.film(frames, skeleton, settings.mixed_limbs), frames)


def _detector_errors(frames: Frames, unknowns: int) -> dict[str, Tensor]:
    """Return residuals, detected joints and confidences of the views with a detection."""
    used = frames.seen.any(dim=-1)
    ideal = world_to_camera(frames.camera_from_root, frames.labels)
    distance = frames.camera_from_root[..., :3, 3].norm(dim=-1)[..., None, None]
    residuals = (frames.image - ideal[..., :2] / ideal[..., 2:]) * distance
    known = frames.seen & frames.labelled[:, None] & residuals.isfinite().all(dim=-1)
    size = residuals.norm(dim=-1)
    fitted = size < OUTLIER * size[known].median()
    numbers = COORDINATES * (known & fitted).sum(dim=1, keepdim=True).to(residuals.dtype)
    shrunk = (numbers / (numbers - unknowns).clamp(min=1)).sqrt()
    residuals = torch.where(fitted[..., None], shrunk[..., None] * residuals, residuals)
    return {
        "residuals": torch.where(known[..., None], residuals, 0.0)[used],
        "seen": known[used],
        "confidence": torch.where(known, frames.confidence, 0.0)[used],
    }


def _verticals(
    frames: Frames, recordings: Sequence[Recording], skeleton: Skeleton
) -> Float[Tensor, "recordings 3"]:
    """Return the vertical of each recording: from the feet or the trunk, or else the cameras."""
    return torch.stack(
        [
            _vertical(frames.select(frames.origin[:, 0] == place), recording, skeleton)
            for place, recording in enumerate(recordings)
        ]
    ).to(frames.labels)


def _vertical(frames: Frames, recording: Recording, skeleton: Skeleton) -> Float[Tensor, "3"]:
    world_from_camera = invert_transform(recording.cameras.camera_from_world[0])
    origin = transform_points(
        world_from_camera, frames.camera_from_root[:, 0, :3, 3].to(world_from_camera)
    )
    points = torch.where(frames.labelled[..., None], frames.labels, torch.nan).to(origin)
    if len(frames) > 0:
        found = find_vertical(skeleton, points + origin[:, None], recording.fps)
        if found is not None:
            return found.up.to(origin)
    up: Tensor = -recording.cameras.camera_from_world[:, 1, :3].mean(dim=0)
    return up / up.norm()  # type: ignore[no-any-return]


def _ends(values: Float[Tensor, "values"]) -> Float[Tensor, "2"]:
    """Return the lower and the upper end of a range."""
    ordered = values.sort().values
    places = [round(share * (len(ordered) - 1)) for share in QUANTILES]
    return ordered[places]
