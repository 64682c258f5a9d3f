"""Lift the frames of one camera as they come: one frame in, one pose out, without delay."""

from collections import deque
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.pose_refinement import measure_body, refine_poses
from selfsup_lifting.training.lifter import Lifter, merge_batchnorm

# The bones are measured in so many of the last frames.
MOST_FRAMES = 300
# A person who is farther from where the followed one was than so many sizes is somebody else.
FARTHEST_SIZES = 1.0


class StreamedPose(NamedTuple):
    """The pose of one frame.

    Attributes:
        points: Joints relative to the root, in the camera's axes [m]; NaN if the person is lost.
        keypoints: The joints in the image that were lifted, with held ones [px]; NaN if unknown.
        person: Which of the frame's people was followed; None if none of them.
        held: Which joints were not detected and are held from earlier frames.
        covariance: How sure the lifter is of each joint, in the camera's axes [m^2]; None for a
            lifter without uncertainty.

    Example:
        >>> unknown = torch.full((17, 3), torch.nan)
        >>> lost = StreamedPose(unknown, unknown[:, :2], None, torch.zeros(17, dtype=torch.bool))
        >>> lost.person is None
        True
    """

    points: Float[Tensor, "joints 3"]
    keypoints: Float[Tensor, "joints 2"]
    person: int | None
    held: Bool[Tensor, "joints"]
    covariance: Float[Tensor, "joints 3 3"] | None = None


class PoseStream:
    """Follow one person in the frames of one camera, and lift every frame at once.

    A joint that is not detected keeps its place relative to the other joints, and a person who is
    not detected keeps the last pose, for some frames. Among several people, the one nearest to the
    followed person is taken; nobody is taken who is farther away than the person's own size. After
    too many frames without detection, the most certain person is followed.

    With `refine`, each pose is refined as by `lift_parts`, but by what is known so far: by its own
    pixels, and by the median bones of this person in the frames before. It is not smoothed.

    Args:
        lifter: A trained network in evaluation mode, on the CPU.
        camera: The rig of the one camera.
        hold: Number of frames for which what is not detected is held.
        refine: Whether to refine the poses by their pixels and the bones of earlier frames.

    Raises:
        ValueError: If the rig has several cameras.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_2"])
        >>> untrained = Lifter(recording.skeleton, LifterSettings(width=8, blocks=1)).eval()
        >>> stream = PoseStream(untrained, recording.cameras)
        >>> for people in recording.keypoints[:3]:
        ...     pose = stream.step(people)
        >>> pose.points.shape, pose.person
        (torch.Size([17, 3]), 0)
    """

    def __init__(
        self, lifter: Lifter, camera: Cameras, *, hold: int = 10, refine: bool = False
    ) -> None:
        if camera.views != 1:
            raise ValueError(f"`camera` must have one view, got {', '.join(camera.names)}")
        self._lifter, self._hold = merge_batchnorm(lifter), hold
        self._camera = camera.to(torch.float32)
        # The last row of K is 0, 0, 1.
        self._rays_from_pixels = torch.linalg.inv(self._camera.intrinsics[0])[:2]
        joints = len(lifter.skeleton.joints)
        self._keypoints = torch.full((joints, 2), torch.nan)
        self._confidence = torch.zeros(joints)
        self._age = torch.full((joints,), hold + 1)
        self._refine = refine
        self._history: deque[Float[Tensor, "joints 3"]] = deque(maxlen=MOST_FRAMES)

    @torch.no_grad()
    def step(
        self,
        people: Float[Tensor, "people joints 2"],
        confidence: Float[Tensor, "people joints"] | None = None,
    ) -> StreamedPose:
        """Lift one frame.

        Args:
            people: The detected people, with lens distortion [px]; NaN where a joint is missing.
            confidence: The detector's confidence; 1 by default.

        Returns:
            The pose of the followed person.
        """
        seen = people.isfinite().all(dim=-1)
        if confidence is None:
            confidence = seen.to(people.dtype)
        person = self._followed(people, torch.where(seen, confidence, 0.0))
        self._age += 1
        if person is not None:
            self._update(people[person].float(), confidence[person].float(), seen[person])
        lost = self._age > self._hold
        self._keypoints[lost] = torch.nan
        self._confidence[lost] = 0.0
        held = (self._age > 0) & ~lost
        if lost.all():
            self._history.clear()
        points, covariance = self._lifted(detected=person is not None)
        return StreamedPose(points, self._keypoints.clone(), person, held, covariance)

    def _lifted(
        self, *, detected: bool
    ) -> tuple[Float[Tensor, "joints 3"], Float[Tensor, "joints 3 3"] | None]:
        """Lift the present joints, as `lift` and `lift_covariances` do; refine them if asked."""
        ideal = self._camera.undistort(self._keypoints[None]).pixels
        image = ideal @ self._rays_from_pixels[:, :2].T + self._rays_from_pixels[:, 2]
        seen = image.isfinite().all(dim=-1)
        inputs = (image, seen, self._confidence[None])
        known = torch.tensor(1.0 if seen.any() else torch.nan)
        points = known * self._lifter(*inputs)[0]
        if self._refine:
            return self._refined(points, *inputs, detected=detected), None
        if not self._lifter.settings.uncertainty:
            return points, None
        return points, known * self._lifter.covariances(*inputs)[0]

    def _refined(
        self,
        points: Float[Tensor, "joints 3"],
        image: Float[Tensor, "1 joints 2"],
        seen: Bool[Tensor, "1 joints"],
        confidence: Float[Tensor, "1 joints"],
        *,
        detected: bool,
    ) -> Float[Tensor, "joints 3"]:
        """Refine a pose by its pixels, and by the bones of this person so far."""
        if detected:
            self._history.append(points)
        if not self._history:
            return points
        lifter, skeleton, covariance = self._lifter, self._lifter.skeleton, None
        if lifter.settings.uncertainty:
            covariance = lifter.covariances(image, seen, confidence)
        body = measure_body(torch.stack([*self._history]), skeleton)
        return refine_poses(points[None], image, confidence, body, skeleton.root, covariance)[0]

    def _followed(
        self, people: Float[Tensor, "people joints 2"], confidence: Float[Tensor, "people joints"]
    ) -> int | None:
        """Return the number of the person to follow."""
        if not len(people) or not confidence.any():
            return None
        known = self._keypoints[self._keypoints.isfinite().all(dim=-1)]
        if not len(known):
            return int(confidence.sum(dim=-1).argmax())
        size = float((known.amax(dim=0) - known.amin(dim=0)).norm())
        distances = (people - self._keypoints).norm(dim=-1).nanmean(dim=-1).nan_to_num(torch.inf)
        nearest = int(distances.argmin())
        return nearest if distances[nearest] <= FARTHEST_SIZES * size else None

    def _update(
        self,
        keypoints: Float[Tensor, "joints 2"],
        confidence: Float[Tensor, "joints"],
        seen: Bool[Tensor, "joints"],
    ) -> None:
        """Take over what was detected, and move what was not together with it."""
        both = seen & self._keypoints.isfinite().all(dim=-1)
        shift = (keypoints - self._keypoints)[both].mean(dim=0) if both.any() else 0.0
        self._keypoints = torch.where(seen[:, None], keypoints, self._keypoints + shift)
        self._confidence = torch.where(seen, confidence, self._confidence)
        self._age = torch.where(seen, 0, self._age)
