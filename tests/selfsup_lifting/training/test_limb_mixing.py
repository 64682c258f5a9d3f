"""Laws of bodies with the limbs of other frames."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from multiview_geom import rotation_from_vector
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton
from selfsup_lifting.training import limb_mixing
from selfsup_lifting.training.limb_mixing import mix_limbs, upright_axes

PERSON = SKELETONS["h36m17"]
FRAMES = 60


def poses() -> Tensor:
    drawn = torch.randn(FRAMES, 17, 3, generator=torch.Generator().manual_seed(0))
    return drawn - drawn[:, :1]


def mixed(labels: Tensor, share: float, up: Tensor | None = None) -> Tensor:
    up = torch.tensor([0.0, 0.0, 1.0]) if up is None else up
    torch.manual_seed(0)
    known = torch.ones(FRAMES, 17, dtype=torch.bool)
    axes = upright_axes(up.expand(FRAMES, 3))
    return mix_limbs(labels, known, axes, PERSON, share)[0]


def bones(labels: Tensor) -> Tensor:
    parents, joints = torch.tensor(PERSON.bones).T
    return (labels[:, joints] - labels[:, parents]).norm(dim=-1)


def test_the_axes_of_a_room_are_a_rotation_with_z_up() -> None:
    up = torch.nn.functional.normalize(torch.randn(50, 3), dim=-1)
    axes = upright_axes(up)
    assert_close(axes @ axes.mT, torch.eye(3).expand(50, 3, 3), atol=1e-5, rtol=0)
    assert_close(torch.linalg.det(axes), torch.ones(50))
    assert_close(axes[:, 2], up)


def test_without_a_share_nothing_changes() -> None:
    assert torch.equal(mixed(poses(), 0.0), poses())


def test_the_trunk_stays_and_every_bone_is_one_of_some_frame() -> None:
    labels = poses()
    mixture = mixed(labels, 1.0)
    trunk = [PERSON.joints.index(name) for name in ("spine", "thorax", "nose", "left_hip")]
    assert_close(mixture[:, trunk], labels[:, trunk], atol=1e-5, rtol=0)
    assert_close(
        bones(mixture).sort(dim=0).values, bones(labels).sort(dim=0).values, atol=1e-4, rtol=0
    )
    knee = PERSON.joints.index("left_knee")
    assert float((mixture - labels)[:, knee].norm(dim=-1).median()) > 0.1


def test_a_limb_has_its_pose_relative_to_the_heading(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limb_mixing, "TURN", 0.0)
    one = poses()[:1]
    headings = torch.linspace(0, 6.0, FRAMES)[:, None] * torch.tensor([0.0, 0.0, 1.0])
    labels = one @ rotation_from_vector(headings).mT
    # All frames show the same pose from other sides: their limbs are the same.
    assert_close(mixed(labels, 0.5), labels, atol=1e-4, rtol=0)


def test_the_world_does_not_matter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limb_mixing, "TURN", 0.0)
    turn = rotation_from_vector(torch.tensor([0.7, -0.4, 1.1]))
    up = torch.tensor([0.0, 0.0, 1.0]) @ turn.mT
    turned = mixed(poses() @ turn.mT, 0.5, up)
    assert_close(turned, mixed(poses(), 0.5) @ turn.mT, atol=1e-4, rtol=0)


def test_poses_without_hips_are_kept() -> None:
    arm = Skeleton("arm", ("shoulder", "hand"), (-1, 0), mirrored=(), root=(0,))
    labels, known = torch.randn(5, 2, 3), torch.ones(5, 2, dtype=torch.bool)
    up = torch.eye(3).expand(5, 3, 3)
    assert mix_limbs(labels, known, up, arm, 1.0)[0] is labels
