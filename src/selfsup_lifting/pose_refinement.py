"""Refine the lifted poses of a track by their pixels, by its bones and by the frames around.

A lifted pose does not project exactly to its detections, and its bones change their lengths from
frame to frame. A few Gauss-Newton steps from the prediction minimize three sums: squared deviations
from the prediction; squared reprojection errors at the distance of the body, weighted by
confidence; and squared deviations of the bones from their median lengths in the track. A lifter
that predicts covariances gives the weights of the first sum; for another, they are constants, less
along the viewing direction than across it. Finally, the poses are smoothed over time.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.inference import lift_covariances, lift_known, placed_in_camera
from selfsup_lifting.recording import PART_FRAMES, Recording
from selfsup_lifting.skeleton.skeletons import Skeleton, root_position
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.triangulate import normalized_image

# Standard deviations, relative to the root-mean-square distance of the joints from the root, about
# 0.5 m for a person: of a prediction across and along the viewing direction, of a detection of
# confidence 1, and of a bone's length. A predicted covariance is enlarged by the square of LEAST.
ACROSS, ALONG, LEAST = 0.05, 0.12, 0.01
DETECTED = 0.04
BONE = 0.02
STEPS = 3
# Standard deviation of the weights of the smoothing [s], and how many of them it reaches. Of motion
# capture's training clips, compared with their pseudo-labels, 0.03 to 0.05 s were best.
SMOOTHING, REACH = 0.04, 3
# Poses that are refined at once: bounds the memory.
CHUNK = 2000
# Frames of a track that the bones are measured in, at least, if it has as many.
MOST_FRAMES = 10_000
# Keeps the equations solvable if nothing determines the distance.
DAMPING = 1e-6


@dataclass(frozen=True)
class BodySize:
    """What does not change while one view films one person.

    Attributes:
        incidence: The matrix that takes joints to bones: child minus parent.
        lengths: The median length of each bone [m].
        distance: The root-mean-square distance of the joints from the root [m].
    """

    incidence: Float[Tensor, "bones joints"]
    lengths: Float[Tensor, "bones"]
    distance: Float[Tensor, ""]


def lift_parts(
    lifter: Lifter, recording: Recording, *, refine: bool = False, after: int = 0
) -> Iterator[Float[Tensor, "frames views joints 3"]]:
    """Lift each view of the parts of a recording by itself, and refine the poses if asked.

    Args:
        lifter: A trained network in evaluation mode.
        recording: The 2D tracks; the extrinsics of its cameras are not used.
        refine: Whether to refine the poses by their pixels, and to smooth them over time.
        after: How many frames of the next part each part has at its end too.

    Yields:
        For each of `Recording.parts`, the joints relative to the root, in each camera's axes [m];
        NaN as from `lift`. Where the parts begin does not change the poses.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_2"])
        >>> untrained = Lifter(recording.skeleton, LifterSettings(width=8, blocks=1)).eval()
        >>> [poses.shape for poses in lift_parts(untrained, recording, refine=True)]
        [torch.Size([240, 1, 17, 3])]
    """
    if not refine or recording.frame_count == 0:
        yield from (_lifted(lifter, part) for part in recording.parts(after=after))
        return
    deviation = SMOOTHING * recording.fps
    around = int(REACH * deviation + 1)
    some = recording.frames(slice(None, None, max(1, recording.frame_count // MOST_FRAMES)))
    bodies = [measure_body(view, lifter.skeleton) for view in _lifted(lifter, some).unbind(dim=1)]
    for part, before in recording.wider_parts(around, around + after):
        refined = smooth_poses(_refined_views(lifter, part, bodies), deviation)
        yield refined[before : before + PART_FRAMES + after]


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
    from scipy.ndimage import gaussian_filter1d

    known = poses.isfinite()
    total, weight = (
        torch.from_numpy(
            gaussian_filter1d(one.numpy(), deviation, axis=0, mode="constant", truncate=REACH)
        )
        for one in (poses.nan_to_num(0.0), known.to(poses.dtype))
    )
    return torch.where(known, total / weight, torch.nan)


def measure_body(poses: Float[Tensor, "poses joints 3"], skeleton: Skeleton) -> BodySize:
    """Measure the person of a track of root-relative poses [m]; NaN where unknown."""
    incidence = bone_incidence(skeleton).to(poses)
    lengths = (incidence @ poses).norm(dim=-1).nanmedian(dim=0).values
    return BodySize(incidence, lengths, poses.square().sum(dim=-1).nanmean().sqrt())


def refine_poses(
    poses: Float[Tensor, "poses joints 3"],
    image: Float[Tensor, "poses joints 2"],
    confidence: Float[Tensor, "poses joints"],
    body: BodySize,
    root: tuple[int, ...],
    covariance: Float[Tensor, "poses joints 3 3"] | None = None,
) -> Float[Tensor, "poses joints 3"]:
    """Refine the poses of one track.

    Args:
        poses: The joints relative to the root, in the camera's axes [m].
        image: The detections in normalized image coordinates [focal lengths]; NaN where missing.
        confidence: The detector's confidence.
        body: The bones of the person.
        root: The joints whose mean is the root.
        covariance: How sure the lifter is of each joint [m^2]; constants by default.

    Returns:
        The refined poses. A pose without a known place before the camera stays as it is.
    """
    if covariance is None:
        usual = torch.diag(poses.new_tensor([ACROSS, ACROSS, ALONG]) ** 2)
        relative = usual.expand(*poses.shape, 3)
    else:
        relative = covariance / body.distance**2 + LEAST**2 * torch.eye(3).to(poses)
    inputs = (poses, image, confidence, relative)
    parts = zip(*(one.split(CHUNK) for one in inputs), strict=True)
    points = torch.cat([_refined(*part, body=body) for part in parts])
    return points - root_position(points, root)


def bone_incidence(skeleton: Skeleton) -> Float[Tensor, "bones joints"]:
    """Return the matrix that takes joints to bones: child minus parent."""
    matrix = torch.zeros(len(skeleton.bones), len(skeleton.joints))
    for bone, (parent, child) in enumerate(skeleton.bones):
        matrix[bone, parent], matrix[bone, child] = -1.0, 1.0
    return matrix


def _lifted(lifter: Lifter, recording: Recording) -> Float[Tensor, "frames views joints 3"]:
    return lift_known(lifter, recording.cameras, recording.keypoints, recording.confidence)


def _refined_views(
    lifter: Lifter, recording: Recording, bodies: Sequence[BodySize]
) -> Float[Tensor, "frames views joints 3"]:
    """Lift and refine each view of a part of a recording."""
    image = normalized_image(recording.cameras, recording.keypoints).float()
    poses, trust = _lifted(lifter, recording), recording.confidence.float()
    known: Sequence[Tensor | None] = [None] * len(bodies)
    if lifter.settings.uncertainty:
        inputs = (recording.cameras, recording.keypoints, recording.confidence)
        known = lift_covariances(lifter, *inputs).unbind(dim=1)
    root = lifter.skeleton.root
    refined = [
        refine_poses(poses[:, view], image[:, view], trust[:, view], body, root, known[view])
        for view, body in enumerate(bodies)
    ]
    return torch.stack(refined, dim=1)


def _refined(
    poses: Float[Tensor, "poses joints 3"],
    image: Float[Tensor, "poses joints 2"],
    confidence: Float[Tensor, "poses joints"],
    covariance: Float[Tensor, "poses joints 3 3"],
    *,
    body: BodySize,
) -> Float[Tensor, "poses joints 3"]:
    size = body.distance
    translation = (placed_in_camera(poses, image) - poses)[:, 0]
    usable = (translation[:, 2] > size) & poses.isfinite().all(dim=-1).all(dim=-1)
    known = poses[usable] / size
    lengths = body.lengths / size
    precision = torch.linalg.inv(covariance[usable])
    problem = _Problem(known, precision, image[usable], confidence[usable], body.incidence, lengths)
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
        precision: Float[Tensor, "poses joints 3 3"],
        image: Float[Tensor, "poses joints 2"],
        confidence: Float[Tensor, "poses joints"],
        incidence: Float[Tensor, "bones joints"],
        lengths: Float[Tensor, "bones"],
    ) -> None:
        self._prior, self._incidence, self._lengths = prior, incidence, lengths
        self._precision = precision
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
        diagonal = blocks + self._precision
        hessian[:, every, :, every] += diagonal.transpose(0, 1)
        hessian[:, :-1, :, -1] += blocks
        hessian[:, -1, :, :-1] += blocks.transpose(1, 2)
        hessian[:, -1, :, -1] += blocks.sum(dim=1)
        deviation = (self._precision @ (points - self._prior)[..., None])[..., 0]
        gradient[:, :-1] += deviation + pulls
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
