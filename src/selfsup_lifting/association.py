"""Who is who: one person out of everybody that every camera saw.

Whoever several cameras agree on, frame after frame, is the person: a bystander whom one camera
sees fits no one in the others, and a false detection does not stay.
"""

from dataclasses import dataclass
from itertools import combinations, pairwise

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multiview_geom import Cameras, triangulate_dlt

# Two detections are of one person when, laid over each other, their joints agree to this share
# of the person's size in the picture on the median: several times what detectors and
# calibrations get wrong, and much less than two people stand apart.
AGREEMENT = 0.1
# Fewer joints in common than this prove nothing.
FEWEST_COMMON_JOINTS = 3
# What changing from one person to another costs, in cameras that agree.
CHANGE = 4.0
# How much the largest person is preferred where agreement does not decide, in the same unit.
SIZE_PREFERENCE = 0.5
# Frames compared at once: bounds the memory of long takes.
CHUNK = 500


@dataclass(frozen=True)
class Candidates:
    """Everybody whom the cameras saw, lens removed.

    Attributes:
        keypoints: Where each person's joints are [px]; NaN where missing or nobody.
    """

    keypoints: Float[Tensor, "frames views people joints 2"]

    @property
    def there(self) -> Bool[Tensor, "frames views people"]:
        """Who is anybody at all."""
        return self.keypoints.isfinite().all(dim=-1).any(dim=-1)

    @property
    def sizes(self) -> Float[Tensor, "frames views people"]:
        """The diagonal of each person's box [px]; zero for nobody."""
        low = self.keypoints.nan_to_num(torch.inf, torch.inf).amin(dim=-2)
        high = self.keypoints.nan_to_num(-torch.inf, -torch.inf).amax(dim=-2)
        return torch.where(self.there, (high - low).square().sum(dim=-1).sqrt(), 0.0)

    @property
    def centers(self) -> Float[Tensor, "frames views people 2"]:
        """The middle of each person's joints [px]; NaN for nobody."""
        return self.keypoints.nanmean(dim=-2)


def one_person(
    cameras: Cameras, keypoints: Float[Tensor, "frames views people joints 2"]
) -> Int[Tensor, "frames views"]:
    """Find, in every frame and view, which of the people is the one the take is about.

    Args:
        cameras: The rig.
        keypoints: Everybody's joints as detected [px]; NaN where missing or nobody.

    Returns:
        The person's place in each frame and view; -1 where nobody there is that person.
    """
    frames, views, people, joints, _ = keypoints.shape
    ideal = cameras.undistort(keypoints.to(cameras.intrinsics).flatten(2, 3)).pixels
    candidates = Candidates(ideal.reshape(frames, views, people, joints, 2).float())
    if people == 1 and views == 1:
        return torch.where(candidates.there[:, :, 0], 0, -1)
    groups, agreement = _grouped(cameras, candidates)
    return _followed(candidates, groups, agreement)


def largest_person(
    keypoints: Float[Tensor, "frames views people joints 2"],
) -> Int[Tensor, "frames views"]:
    """Find whoever appears largest, in every frame and view by itself."""
    sizes = Candidates(keypoints).sizes
    return torch.where(sizes.amax(dim=-1) > 0, sizes.argmax(dim=-1), -1)


def _grouped(
    cameras: Cameras, candidates: Candidates
) -> tuple[Int[Tensor, "frames groups views"], Float[Tensor, "frames groups"]]:
    """Form one group around every candidate: who in each view agrees with it, and how well."""
    parts = [
        _groups_of_chunk(cameras, Candidates(chunk)) for chunk in candidates.keypoints.split(CHUNK)
    ]
    return torch.cat([groups for groups, _ in parts]), torch.cat([score for _, score in parts])


def _groups_of_chunk(
    cameras: Cameras, candidates: Candidates
) -> tuple[Int[Tensor, "frames groups views"], Float[Tensor, "frames groups"]]:
    cost = _disagreement(cameras, candidates)
    frames, views, people = candidates.there.shape
    anchor = torch.arange(views * people)
    from_anchor = cost.flatten(1, 2)
    members = _closest(from_anchor, candidates.there, anchor)
    together = _mean_cost(cost, members)
    members = _closest(together, candidates.there, anchor)
    pairs = _pair_costs(cost, members)
    agreement = (1 - pairs / AGREEMENT).clamp(min=0).sum(dim=(-2, -1)) / 2
    sizes = _taken(candidates.sizes[:, None].expand(-1, views * people, -1, -1), members)
    share = sizes.sum(dim=-1) / candidates.sizes.amax(dim=-1).sum(dim=-1).clamp(min=1)[:, None]
    there = candidates.there.flatten(1)
    score = agreement + SIZE_PREFERENCE * share
    return members, torch.where(there, score, -torch.inf).reshape(frames, views * people)


def _disagreement(
    cameras: Cameras, candidates: Candidates
) -> Float[Tensor, "frames views people views people"]:
    """Compare everybody with everybody in another view, by how far their joints reproject.

    Infinite where they have too few joints in common, and within one view.
    """
    frames, views, people, _, _ = candidates.keypoints.shape
    cost = torch.full((frames, views, people, views, people), torch.inf)
    for one, other in combinations(range(views), 2):
        pair = _pair_disagreement(cameras, candidates, one, other)
        cost[:, one, :, other] = pair
        cost[:, other, :, one] = pair.mT
    return cost


def _pair_disagreement(
    cameras: Cameras, candidates: Candidates, one: int, other: int
) -> Float[Tensor, "frames people people"]:
    projections = cameras.projections[[one, other]].float()
    frames, _, people, joints, _ = candidates.keypoints.shape
    shape = (frames, people, people, joints, 2)
    left = candidates.keypoints[:, one, :, None].expand(shape)
    right = candidates.keypoints[:, other, None, :].expand(shape)
    pixels = torch.stack([left, right], dim=-3)
    points = triangulate_dlt(projections, pixels)
    image = torch.einsum("vij,...nj->...vni", projections[:, :, :3], points)
    image = image + projections[:, None, :, 3]
    error = (image[..., :2] / image[..., 2:] - pixels).norm(dim=-1).mean(dim=-2)
    common = error.isfinite().sum(dim=-1)
    size = (candidates.sizes[:, one, :, None] * candidates.sizes[:, other, None, :]).sqrt()
    relative = error.nanmedian(dim=-1).values / size.clamp(min=1)
    return torch.where(common >= FEWEST_COMMON_JOINTS, relative, torch.inf).nan_to_num(torch.inf)


def _closest(
    cost: Float[Tensor, "frames groups views people"],
    there: Bool[Tensor, "frames views people"],
    anchor: Int[Tensor, "groups"],
) -> Int[Tensor, "frames groups views"]:
    """Choose in every view who agrees best with a group; -1 where nobody agrees."""
    best, who = cost.min(dim=-1)
    members = torch.where(best < AGREEMENT, who, -1)
    views, people = there.shape[1:]
    own = torch.arange(views) == (anchor // people)[:, None]
    return torch.where(own, (anchor % people)[:, None], members)


def _mean_cost(
    cost: Float[Tensor, "frames views people views people"],
    members: Int[Tensor, "frames groups views"],
) -> Float[Tensor, "frames groups views people"]:
    """Average what a group's members say of everybody in another view."""
    total = torch.zeros(*members.shape, cost.shape[2])
    voices = torch.zeros_like(total)
    for view in range(cost.shape[1]):
        member = members[:, :, view]
        said = _row_of(cost[:, view], member)
        heard = (member >= 0)[..., None, None] & said.isfinite()
        total += torch.where(heard, said, 0.0)
        voices += heard
    return torch.where(voices > 0, total / voices.clamp(min=1), torch.inf)


def _pair_costs(
    cost: Float[Tensor, "frames views people views people"],
    members: Int[Tensor, "frames groups views"],
) -> Float[Tensor, "frames groups views views"]:
    """Look up how well every two members of a group agree; infinite where there are not two."""
    rows = [
        torch.where(
            (members[:, :, view] >= 0)[..., None],
            _taken(_row_of(cost[:, view], members[:, :, view]), members, torch.inf),
            torch.inf,
        )
        for view in range(cost.shape[1])
    ]
    return torch.stack(rows, dim=-2)


def _row_of(
    cost: Float[Tensor, "frames people views others"], member: Int[Tensor, "frames groups"]
) -> Float[Tensor, "frames groups views others"]:
    frame = torch.arange(len(cost))[:, None]
    return cost[frame, member.clamp(min=0)]


def _taken(
    values: Float[Tensor, "frames groups views people"],
    members: Int[Tensor, "frames groups views"],
    absent: float = 0.0,
) -> Float[Tensor, "frames groups views"]:
    taken = values.gather(-1, members.clamp(min=0)[..., None])[..., 0]
    return torch.where(members >= 0, taken, absent)


def _followed(
    candidates: Candidates,
    groups: Int[Tensor, "frames groups views"],
    score: Float[Tensor, "frames groups"],
) -> Int[Tensor, "frames views"]:
    """Follow through the frames the group with most agreement and fewest changes (Viterbi)."""
    chosen = torch.full((len(groups), groups.shape[-1]), -1)
    present = score.isfinite().any(dim=1).nonzero()[:, 0].tolist()
    if not present:
        return chosen
    places, sizes = _group_places(candidates, groups)
    total, came_from = score[present[0]], []
    for before, now in pairwise(present):
        cost = _change(places[before], sizes[before], places[now])
        best, origin = (total[:, None] - cost).max(dim=0)
        came_from.append(origin)
        total = best + score[now]
    group = int(total.argmax())
    for at in reversed(range(len(present))):
        chosen[present[at]] = groups[present[at], group]
        group = int(came_from[at - 1][group]) if at else group
    return chosen


def _group_places(
    candidates: Candidates, groups: Int[Tensor, "frames groups views"]
) -> tuple[Float[Tensor, "frames groups views 2"], Float[Tensor, "frames groups views"]]:
    """Look up where every member of a group is, NaN where there is none, and how large."""
    count = groups.shape[1]
    sizes = _taken(candidates.sizes[:, None].expand(-1, count, -1, -1), groups)
    centers = candidates.centers[:, None].expand(-1, count, -1, -1, -1)
    member = groups.clamp(min=0)[..., None, None]
    places = centers.take_along_dim(member, dim=-2)[..., 0, :]
    return torch.where((groups >= 0)[..., None], places, torch.nan), sizes


def _change(
    was: Float[Tensor, "groups views 2"],
    size: Float[Tensor, "groups views"],
    now: Float[Tensor, "groups views 2"],
) -> Float[Tensor, "groups groups"]:
    """Say how unlike one person every group now is to every group before: moved, in sizes."""
    moved = (was[:, None] - now[None]).norm(dim=-1) / size[:, None].clamp(min=1)
    share: Tensor = moved.square().nanmean(dim=-1).nan_to_num(1.0).clamp(max=1.0)
    return CHANGE * was.shape[1] * share
