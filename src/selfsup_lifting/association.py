"""Matching detections across views and frames, to follow one person.

Detections of two views match if their joints, triangulated, reproject close to where they were
detected. The person is the group of matching detections with the lowest error and the smoothest
motion: a bystander in one view matches nobody in the others, and a false detection does not last.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import combinations, pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multiview_geom import Cameras, triangulate_dlt

# Two detections match if the median reprojection error of their joints is below this fraction of
# the person's size in the image: several times the error of detectors and calibrations, and much
# less than the distance between two people.
MATCHING_ERROR = 0.1
# Detections with fewer common joints are not compared.
FEWEST_COMMON_JOINTS = 3
# The cost of a change from one person to another, in matching pairs of views per view.
CHANGE_COST = 4.0
# The preference for the largest person if the matches do not decide, in the same unit.
SIZE_PREFERENCE = 0.5
# A person is followed if two views see it together in this share of the frames.
LEAST_TOGETHER = 0.05
# More people than a calibrated rig ever films closely: bounds the time.
MOST_PEOPLE = 32
# The number of frames that are compared at once, which bounds the memory for long recordings.
CHUNK = 500


@dataclass(frozen=True)
class Detections:
    """The undistorted detections of all views.

    Attributes:
        keypoints: The joints of each person [px]; NaN where missing.
    """

    keypoints: Float[Tensor, "frames views people joints 2"]

    @property
    def present(self) -> Bool[Tensor, "frames views people"]:
        """Whether at least one joint was detected."""
        return self.keypoints.isfinite().all(dim=-1).any(dim=-1)

    @property
    def sizes(self) -> Float[Tensor, "frames views people"]:
        """The diagonal of each person's bounding box [px]; zero if absent."""
        low = self.keypoints.nan_to_num(torch.inf, torch.inf).amin(dim=-2)
        high = self.keypoints.nan_to_num(-torch.inf, -torch.inf).amax(dim=-2)
        return torch.where(self.present, (high - low).square().sum(dim=-1).sqrt(), 0.0)

    @property
    def centers(self) -> Float[Tensor, "frames views people 2"]:
        """The mean of each person's joints [px]; NaN if absent."""
        return self.keypoints.nanmean(dim=-2)


def one_person(
    cameras: Cameras, keypoints: Float[Tensor, "frames views people joints 2"]
) -> Int[Tensor, "frames views"]:
    """Follow the person on whom the views agree best, through all frames.

    Args:
        cameras: The cameras.
        keypoints: Everybody's joints as detected [px]; NaN where missing.

    Returns:
        The index of the person in each frame and view; -1 where the person was not detected.
    """
    detections = _undistorted(cameras, keypoints)
    return _most_agreed(detections, _matching_costs(cameras, detections))


def everybody(
    cameras: Cameras, keypoints: Float[Tensor, "frames views people joints 2"]
) -> list[Int[Tensor, "frames views"]]:
    """Follow one person after another, each among the detections that the others left.

    Args:
        cameras: The cameras.
        keypoints: Everybody's joints as detected [px]; NaN where missing.

    Returns:
        The index of each person in each frame and view, as `one_person`; only people whom two
        views see together in at least 5 % of the frames, and at least one person.
    """
    detections = _undistorted(cameras, keypoints)
    costs = [*_matching_costs(cameras, detections)]
    found = [_most_agreed(detections, costs)]
    while len(found) < MOST_PEOPLE:
        person = found[-1][..., None]
        taken = (person >= 0) & (person == torch.arange(keypoints.shape[2]))
        detections = Detections(detections.keypoints.masked_fill(taken[..., None, None], torch.nan))
        for cost, gone in zip(costs, taken.split(CHUNK), strict=True):
            cost.masked_fill_(gone[:, None, None], torch.inf)
        another = _most_agreed(detections, costs)
        together = float(((another >= 0).sum(dim=1) > 1).double().mean())
        if together < LEAST_TOGETHER or together == 0:
            break
        found.append(another)
    return found


def _undistorted(
    cameras: Cameras, keypoints: Float[Tensor, "frames views people joints 2"]
) -> Detections:
    pixels = cameras.undistort(keypoints.to(cameras.intrinsics).flatten(2, 3)).pixels
    return Detections(pixels.reshape(keypoints.shape).float())


def _most_agreed(
    detections: Detections,
    costs: Iterable[Float[Tensor, "frames views people views people"]],
) -> Int[Tensor, "frames views"]:
    """Follow the person on whom the views agree best, given the costs of the chunks."""
    chunks = zip(costs, detections.keypoints.split(CHUNK), strict=True)
    scored = [_groups(cost, Detections(chunk)) for cost, chunk in chunks]
    groups, scores = (torch.cat(part) for part in zip(*scored, strict=True))
    return _followed(detections, groups, scores)


def _near_the_origin(cameras: Cameras) -> Cameras:
    """Move the world's origin between the cameras: far from it, float32 is too coarse."""
    shift = torch.eye(4).to(cameras.camera_from_world)
    shift[:3, 3] = cameras.centers.mean(dim=0)
    return replace(cameras, camera_from_world=cameras.camera_from_world @ shift)


def largest_person(
    keypoints: Float[Tensor, "frames views people joints 2"],
) -> Int[Tensor, "frames views"]:
    """Return the index of the largest person in every frame and view; -1 where nobody is."""
    sizes = Detections(keypoints).sizes
    return torch.where(sizes.amax(dim=-1) > 0, sizes.argmax(dim=-1), -1)


def _groups(
    cost: Float[Tensor, "frames views people views people"], detections: Detections
) -> tuple[Int[Tensor, "frames groups views"], Float[Tensor, "frames groups"]]:
    """Form one group around every detection: the best match in each view; and score the groups."""
    frames, views, people = detections.present.shape
    anchor = torch.arange(views * people)
    members = _best_matches(cost.flatten(1, 2), detections.present, anchor)
    members = _best_matches(_mean_cost(cost, members), detections.present, anchor)
    pairs = _pair_costs(cost, members)
    agreement = (1 - pairs / MATCHING_ERROR).clamp(min=0).sum(dim=(-2, -1)) / 2
    sizes = _of_members(detections.sizes[:, None].expand(-1, views * people, -1, -1), members)
    share = sizes.sum(dim=-1) / detections.sizes.amax(dim=-1).sum(dim=-1).clamp(min=1)[:, None]
    score = agreement + SIZE_PREFERENCE * share
    present = detections.present.flatten(1)
    return members, torch.where(present, score, -torch.inf).reshape(frames, views * people)


def _matching_costs(
    cameras: Cameras, detections: Detections
) -> Iterator[Float[Tensor, "frames views people views people"]]:
    """Yield the costs of one chunk of frames after another."""
    near = _near_the_origin(cameras)
    for chunk in detections.keypoints.split(CHUNK):
        yield _matching_cost(near, Detections(chunk))


def _matching_cost(
    cameras: Cameras, detections: Detections
) -> Float[Tensor, "frames views people views people"]:
    """Return the relative reprojection errors of pairs of detections; infinite within a view."""
    frames, views, people, _, _ = detections.keypoints.shape
    cost = torch.full((frames, views, people, views, people), torch.inf)
    for one, other in combinations(range(views), 2):
        pair = _reprojection_error(cameras, detections, one, other)
        cost[:, one, :, other] = pair
        cost[:, other, :, one] = pair.mT
    return cost


def _reprojection_error(
    cameras: Cameras, detections: Detections, one: int, other: int
) -> Float[Tensor, "frames people people"]:
    projections = cameras.projections[[one, other]].float()
    present, people = detections.present, detections.keypoints.shape[2]
    error_of = torch.full((len(present), people, people), torch.inf)
    # A crowd in one frame must not cost as much as one in all frames.
    frame, first, second = (present[:, one, :, None] & present[:, other, None]).nonzero().T
    left, right = (
        detections.keypoints[frame, one, first],
        detections.keypoints[frame, other, second],
    )
    pixels = torch.stack([left, right], dim=-3)
    points = triangulate_dlt(projections, pixels)
    image = torch.einsum("vij,...nj->...vni", projections[:, :, :3], points)
    image = image + projections[:, None, :, 3]
    error = _length(image[..., :2] / image[..., 2:] - pixels).mean(dim=-2)
    common = error.isfinite().sum(dim=-1)
    sizes = detections.sizes
    size = (sizes[frame, one, first] * sizes[frame, other, second]).sqrt()
    relative = error.nanmedian(dim=-1).values / size.clamp(min=1)
    known = torch.where(common >= FEWEST_COMMON_JOINTS, relative, torch.inf).nan_to_num(torch.inf)
    error_of[frame, first, second] = known
    return error_of


def _best_matches(
    cost: Float[Tensor, "frames groups views people"],
    present: Bool[Tensor, "frames views people"],
    anchor: Int[Tensor, "groups"],
) -> Int[Tensor, "frames groups views"]:
    """Return the person in every view that matches a group best; -1 where nobody matches."""
    best, person = cost.min(dim=-1)
    members = torch.where(best < MATCHING_ERROR, person, -1)
    views, people = present.shape[1:]
    own = torch.arange(views) == (anchor // people)[:, None]
    return torch.where(own, (anchor % people)[:, None], members)


def _mean_cost(
    cost: Float[Tensor, "frames views people views people"],
    members: Int[Tensor, "frames groups views"],
) -> Float[Tensor, "frames groups views people"]:
    """Average the costs of matching a group's members with everybody in another view."""
    total = torch.zeros(*members.shape, cost.shape[2])
    count = torch.zeros_like(total)
    for view in range(cost.shape[1]):
        member = members[:, :, view]
        costs = _costs_of(cost[:, view], member)
        valid = (member >= 0)[..., None, None] & costs.isfinite()
        total += torch.where(valid, costs, 0.0)
        count += valid
    return torch.where(count > 0, total / count.clamp(min=1), torch.inf)


def _pair_costs(
    cost: Float[Tensor, "frames views people views people"],
    members: Int[Tensor, "frames groups views"],
) -> Float[Tensor, "frames groups views views"]:
    """Return the cost of every two members of a group; infinite where one is absent."""
    rows = [
        _of_members(_costs_of(cost[:, view], members[:, :, view]), members, torch.inf)
        for view in range(cost.shape[1])
    ]
    return torch.where((members >= 0)[..., None], torch.stack(rows, dim=-2), torch.inf)


def _costs_of(
    cost: Float[Tensor, "frames people views others"], member: Int[Tensor, "frames groups"]
) -> Float[Tensor, "frames groups views others"]:
    return cost[torch.arange(len(cost))[:, None], member.clamp(min=0)]


def _of_members(
    values: Float[Tensor, "frames groups views people"],
    members: Int[Tensor, "frames groups views"],
    absent: float = 0.0,
) -> Float[Tensor, "frames groups views"]:
    chosen = values.gather(-1, members.clamp(min=0)[..., None])[..., 0]
    return torch.where(members >= 0, chosen, absent)


def _followed(
    detections: Detections,
    groups: Int[Tensor, "frames groups views"],
    scores: Float[Tensor, "frames groups"],
) -> Int[Tensor, "frames views"]:
    """Follow the groups with the best scores and the smoothest motion (Viterbi algorithm)."""
    chosen = torch.full((len(groups), groups.shape[-1]), -1)
    frames = scores.isfinite().any(dim=1).nonzero()[:, 0].tolist()
    if not frames:
        return chosen
    centers, sizes = _centers_and_sizes(detections, groups)
    total, previous = scores[frames[0]], []
    for before, now in pairwise(frames):
        cost = _change_cost(centers[before], sizes[before], centers[now])
        best, origin = (total[:, None] - cost).max(dim=0)
        previous.append(origin)
        total = best + scores[now]
    group = int(total.argmax())
    for at in reversed(range(len(frames))):
        chosen[frames[at]] = groups[frames[at], group]
        group = int(previous[at - 1][group]) if at else group
    return chosen


def _centers_and_sizes(
    detections: Detections, groups: Int[Tensor, "frames groups views"]
) -> tuple[Float[Tensor, "frames groups views 2"], Float[Tensor, "frames groups views"]]:
    """Return the center and the size of every member of a group; NaN and zero if absent."""
    count, member = groups.shape[1], groups.clamp(min=0)[..., None, None]
    sizes = _of_members(detections.sizes[:, None].expand(-1, count, -1, -1), groups)
    centers = detections.centers[:, None].expand(-1, count, -1, -1, -1)
    centers = centers.take_along_dim(member, dim=-2)[..., 0, :]
    return torch.where((groups >= 0)[..., None], centers, torch.nan), sizes


def _change_cost(
    before: Float[Tensor, "groups views 2"],
    size: Float[Tensor, "groups views"],
    now: Float[Tensor, "groups views 2"],
) -> Float[Tensor, "groups groups"]:
    """Return the cost of going from every group to every group: the distance in body sizes."""
    moved = _length(before[:, None] - now[None]) / size[:, None].clamp(min=1)
    share: Tensor = moved.square().nanmean(dim=-1).nan_to_num(1.0).clamp(max=1.0)
    return CHANGE_COST * before.shape[1] * share


def _length(vectors: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch"]:
    """Return the lengths of vectors; `norm` takes ten times as long for vectors of two numbers."""
    return torch.hypot(*vectors.unbind(dim=-1))
