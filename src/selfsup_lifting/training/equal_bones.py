"""Give pseudo-labels the bones of a body: as long in every frame, and the same left and right.

A detector that puts a joint too high, in every image of every view, moves the label in the same
way. No reprojection error shows that, and no average over frames, views or predictions removes it.
The lengths of the bones show it.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.skeleton.skeletons import Skeleton, root_position
from selfsup_lifting.training.dataset import Frames

# Each round corrects every bone once; lengths then differ by less than a millimeter.
ROUNDS = 10
# Shortest distance of two joints that has a direction [m].
SHORTEST = 1e-3


def with_equal_bones(frames: Frames, subjects: Sequence[str], skeleton: Skeleton) -> Frames:
    """Move labels as little as possible, so that the bones of each subject keep their lengths.

    Args:
        frames: The frames.
        subjects: The subject of each recording that they are from.
        skeleton: Their skeleton.

    Returns:
        The frames with new labels, and with cameras relative to the new root. A bone has its median
        length over all frames of the subject, averaged with that of the bone on the other side.
    """
    names = sorted(set(subjects))
    numbers = torch.tensor([names.index(one) for one in subjects], device=frames.labels.device)
    subject = numbers[frames.origin[:, 0]]
    labels = frames.labels.clone()
    for number in subject.unique():
        chosen = subject == number
        labels[chosen] = _equalized(frames.select(chosen), skeleton)
    shift = root_position(labels, skeleton.root)
    cameras = frames.camera_from_root.clone()
    cameras[..., :3, 3] += (cameras[..., :3, :3] @ shift[:, None].mT)[..., 0]
    labels = torch.where(frames.labelled[..., None], labels - shift, 0.0)
    return replace(frames, labels=labels, camera_from_root=cameras)


def _equalized(frames: Frames, skeleton: Skeleton) -> Float[Tensor, "frames joints 3"]:
    """Correct the bones of one subject one after another, moving both ends by the same distance."""
    labels, order = frames.labels.clone(), skeleton.mirror_order
    known = {bone: frames.labelled[:, bone].all(dim=1) for bone in skeleton.bones}
    own = {bone: _lengths(labels, bone)[one].median() for bone, one in known.items() if one.any()}
    for _ in range(ROUNDS):
        for bone, length in own.items():
            parent, child = bone
            other = own.get((int(order[parent]), int(order[child])), length)
            vector = labels[:, child] - labels[:, parent]
            size = vector.norm(dim=-1, keepdim=True).clamp(min=SHORTEST)
            excess = ((length + other) / 2 - size) / size * known[bone][:, None] / 2
            labels[:, child] += excess * vector
            labels[:, parent] -= excess * vector
    return labels


def _lengths(
    labels: Float[Tensor, "frames joints 3"], bone: tuple[int, int]
) -> Float[Tensor, "frames"]:
    length: Tensor = (labels[:, bone[1]] - labels[:, bone[0]]).norm(dim=-1)
    return length
