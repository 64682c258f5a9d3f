"""Refine the lifted poses of a track by their pixels, by its bones and by the frames around.

A lifted pose does not project exactly to its detections, and its bones change their lengths from
frame to frame. A few Gauss-Newton steps from the prediction minimize three sums: squared deviations
from the prediction, along the viewing direction with less weight than across it; squared
reprojection errors at the distance of the body, weighted by confidence; and squared deviations of
the bones from their median lengths in the track. At last the poses are smoothed over time.
"""

from math import exp

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.inference import lift, placed_in_camera
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import Skeleton, root_position
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.triangulate import normalized_image

# Standard deviations, relative to the root-mean-square distance of the joints from the root, about
# 0.5 m for a person: of a prediction across and along the viewing direction, of a detection of
# confidence 1, and of a bone's length.
ACROSS, ALONG = 0.05, 0.12
DETECTED = 0.04
BONE = 0.02
STEPS = 3
# Standard deviation of the weights of the smoothing [s], and how many of them it reaches. Of motion
# capture's training clips, compared with their pseudo-labels, 0.03 to 0.05 s were best.
SMOOTHING, REACH = 0.04, 3
# Poses that are refined at once: bounds the memory.
CHUNK = 2000
# Keeps the equations solvable if nothing determines the distance.
DAMPING = 1e-6


def lift_recording(
    lifter: Lifter, recording: Recording, *, refine: bool = False
) -> Float[Tensor, "frames views joints 3"]:
    """Lift each view of a recording by itself, and refine the poses if asked.

    Args:
        lifter: A trained network in evaluation mode.
        recording: The 2D tracks; the extrinsics of its cameras are not used.
        refine: Whether to refine the poses by their pixels, and to smooth them over time.

    Returns:
        The joints relative to the root, in each camera's axes [m]; NaN as from `lift`.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_2"])
        >>> untrained = Lifter(recording.skeleton, LifterSettings(width=8, blocks=1)).eval()
        >>> lift_recording(untrained, recording, refine=True).shape
        torch.Size([240, 1, 17, 3])
    """
    poses = lift(lifter, recording.cameras, recording.keypoints, recording.confidence)
    if not refine:
        return poses
    image = normalized_image(recording.cameras, recording.keypoints).float()
    trust = recording.confidence.float()
    views = zip(poses.unbind(dim=1), image.unbind(dim=1), trust.unbind(dim=1), strict=True)
    refined = torch.stack([refine_poses(*view, lifter.skeleton) for view in views], dim=1)
    return smooth_poses(refined, SMOOTHING * recording.fps)


def smooth_poses(
    poses: Float[Tensor, "frames *joints 3"], deviation: float
) -> Float[Tensor, "frames *joints 3"]:
    """Average poses over time with the weights of a normal distribution.

    Args:
        poses: The poses of a track; NaN where unknown.
        deviation: The standard deviation of the weights [frames].

    Returns:
        The averages over the known poses; NaN where a pose was unknown.
    """
    reach = min(len(poses) - 1, int(REACH * deviation))
    known = poses.isfinite()
    values, total, weights = poses.nan_to_num(0.0), poses * 0, torch.zeros_like(poses)
    for shift in range(-reach, reach + 1):
        weight = exp(-0.5 * (shift / deviation) ** 2) if shift else 1.0
        here, there = (
            slice(max(0, -shift), len(poses) - max(0, shift)),
            slice(max(0, shift), len(poses) - max(0, -shift)),
        )
        total[here] += weight * values[there]
        weights[here] += weight * known[there]
    return total / weights


def refine_poses(
    poses: Float[Tensor, "poses joints 3"],
    image: Float[Tensor, "poses joints 2"],
    confidence: Float[Tensor, "poses joints"],
    skeleton: Skeleton,
) -> Float[Tensor, "poses joints 3"]:
    """Refine the poses of one track.

    Args:
        poses: The joints relative to the root, in the camera's axes [m].
        image: The detections in normalized image coordinates [focal lengths]; NaN where missing.
        confidence: The detector's confidence.
        skeleton: The joints and bones.

    Returns:
        The refined poses. A pose without a known place before the camera stays as it is.
    """
    if len(poses) == 0:
        return poses
    incidence = bone_incidence(skeleton).to(poses)
    lengths = (incidence @ poses).norm(dim=-1)
    lengths = lengths.nanmedian(dim=0).values
    size = poses.square().sum(dim=-1).nanmean().sqrt()
    parts = zip(*(one.split(CHUNK) for one in (poses, image, confidence)), strict=True)
    refined = [_refined(*part, bones=(incidence, lengths), size=size) for part in parts]
    points = torch.cat(refined)
    return points - root_position(points, skeleton.root)


def bone_incidence(skeleton: Skeleton) -> Float[Tensor, "bones joints"]:
    """Return the matrix that takes joints to bones: child minus parent."""
    matrix = torch.zeros(len(skeleton.bones), len(skeleton.joints))
    for bone, (parent, child) in enumerate(skeleton.bones):
        matrix[bone, parent], matrix[bone, child] = -1.0, 1.0
    return matrix


def _refined(
    poses: Float[Tensor, "poses joints 3"],
    image: Float[Tensor, "poses joints 2"],
    confidence: Float[Tensor, "poses joints"],
    *,
    bones: tuple[Float[Tensor, "bones joints"], Float[Tensor, "bones"]],
    size: Float[Tensor, ""],
) -> Float[Tensor, "poses joints 3"]:
    translation = (placed_in_camera(poses, image) - poses)[:, 0]
    usable = (translation[:, 2] > size) & poses.isfinite().all(dim=-1).all(dim=-1)
    known = poses[usable] / size
    incidence, lengths = bones
    problem = _Problem(known, image[usable], confidence[usable], incidence, lengths / size)
    points, place = known, translation[usable] / size
    for _ in range(STEPS):
        points, place = problem.step(points, place)
    refined = poses.clone()
    refined[usable] = points * size
    return refined


class _Problem:
    """The normal equations of the refinement, in units of the body's size."""

    def __init__(
        self,
        prior: Float[Tensor, "poses joints 3"],
        image: Float[Tensor, "poses joints 2"],
        confidence: Float[Tensor, "poses joints"],
        incidence: Float[Tensor, "bones joints"],
        lengths: Float[Tensor, "bones"],
    ) -> None:
        self._prior, self._incidence, self._lengths = prior, incidence, lengths
        self._precision = prior.new_tensor([ACROSS, ACROSS, ALONG]) ** -2
        seen = image.isfinite().all(dim=-1)
        self._weights = torch.where(seen, confidence, 0.0) * DETECTED**-2
        # A point X projects to (u, v) if rows @ X = 0: the error at the distance of the body.
        self._rows = prior.new_zeros(*image.shape, 3)
        self._rows[..., 0, 0] = self._rows[..., 1, 1] = 1.0
        self._rows[..., 2] = -torch.where(seen[..., None], image, 0.0)

    def step(
        self, points: Float[Tensor, "poses joints 3"], place: Float[Tensor, "poses 3"]
    ) -> tuple[Float[Tensor, "poses joints 3"], Float[Tensor, "poses 3"]]:
        """Move points and translation by one Gauss-Newton step."""
        count, joints, _ = points.shape
        hessian = points.new_zeros(count, joints + 1, 3, joints + 1, 3)
        gradient = points.new_zeros(count, joints + 1, 3)
        self._add_prior_and_pixels(hessian, gradient, points, place)
        self._add_bones(hessian, gradient, points)
        size = 3 * (joints + 1)
        equations = hessian.reshape(count, size, size)
        equations = equations + DAMPING * torch.eye(size).to(points)
        moved = torch.linalg.solve(equations, gradient.reshape(count, size))
        moved = moved.view(count, joints + 1, 3)
        return points - moved[:, :-1], place - moved[:, -1]

    def _add_prior_and_pixels(
        self, hessian: Tensor, gradient: Tensor, points: Tensor, place: Tensor
    ) -> None:
        weighted = self._weights[..., None, None] * self._rows.mT
        blocks = weighted @ self._rows
        pulls = (blocks @ (points + place[:, None])[..., None])[..., 0]
        every = torch.arange(points.shape[1])
        diagonal = blocks + torch.diag(self._precision)
        hessian[:, every, :, every] += diagonal.transpose(0, 1)
        hessian[:, :-1, :, -1] += blocks
        hessian[:, -1, :, :-1] += blocks.transpose(1, 2)
        hessian[:, -1, :, -1] += blocks.sum(dim=1)
        gradient[:, :-1] += self._precision * (points - self._prior) + pulls
        gradient[:, -1] += pulls.sum(dim=1)

    def _add_bones(self, hessian: Tensor, gradient: Tensor, points: Tensor) -> None:
        bones = self._incidence @ points
        length = bones.norm(dim=-1, keepdim=True)
        along = bones / length.clamp(min=DAMPING)
        excess = (length - self._lengths[:, None]) * along
        gradient[:, :-1] += BONE**-2 * (self._incidence.mT @ excess)
        sides = torch.einsum("bi,pbx->pbix", self._incidence, along)
        flat = sides.flatten(2)
        product = (flat.mT @ flat).view(*hessian[:, :-1, :, :-1].shape)
        hessian[:, :-1, :, :-1] += BONE**-2 * product
