"""Laws of the four losses."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck
from torch.nn.functional import huber_loss
from torch.testing import assert_close

from multiview_geom import ring_of_cameras, world_to_camera
from selfsup_lifting.config import Norm
from selfsup_lifting.training.losses import (
    _norm,
    consistency_loss,
    input_triangulation_loss,
    output_triangulation_loss,
    poses_in_views,
    projection_loss,
    rotated_to_views,
    rotation_part,
)
from tests.selfsup_lifting.training import slow_losses

ROOT = 0
NORMS = {Norm.SQUARED_L2: slow_losses.squared_l2, Norm.L1: slow_losses.l1}


@dataclass(frozen=True)
class Guess:
    """What a rig saw of a body, and what was predicted from each view.

    `error` is how far predictions lie off, `unused` the views that take no part, frame by frame.
    Bodies are small enough, and predictions near enough, that none comes so close to a camera
    that it is not projected: a law of its own asks for that.
    """

    frames: int = 1
    views: int = 2
    joints: int = 3
    error: float = 0.0
    unused: tuple[int, ...] = ()
    seed: int = 0

    def cameras(self) -> Tensor:
        # Neighbours on a ring of five: no two face each other, which would leave points open.
        rig = ring_of_cameras(5, 4.0, 1.0, dtype=torch.float64)
        return rig.camera_from_world[: self.views].expand(self.frames, -1, -1, -1)

    def body(self) -> Tensor:
        generator = torch.Generator().manual_seed(self.seed)
        shape = (self.frames, self.joints, 3)
        joints = 0.7 * torch.rand(shape, generator=generator, dtype=torch.float64)
        return joints - joints[:, [ROOT]]

    def poses(self) -> Tensor:
        exact = world_to_camera(rotation_part(self.cameras()), self.body())
        generator = torch.Generator().manual_seed(self.seed + 1)
        noise = torch.randn(exact.shape, generator=generator, dtype=torch.float64)
        noise[:, :, ROOT] = 0.0
        return exact + self.error * noise.clamp(-2, 2)

    def image(self) -> Tensor:
        seen = world_to_camera(self.cameras(), self.body())
        return seen[..., :2] / seen[..., 2:]

    def centred_image(self) -> Tensor:
        return self.image() - self.image()[:, :, [ROOT]]

    def usable(self) -> Tensor:
        usable = torch.ones(self.frames, self.views, dtype=torch.bool)
        for frame, view in enumerate(self.unused[: self.frames]):
            usable[frame, view % self.views] = False
        return usable

    def pairs(self) -> Tensor:
        usable = self.usable()
        return (usable[:, :, None] & usable[:, None])[..., None].expand(-1, -1, -1, self.joints)


guesses = st.builds(
    Guess,
    frames=st.integers(1, 3),
    views=st.integers(2, 4),
    joints=st.integers(1, 4),
    error=st.sampled_from([0.05, 0.2]),
    unused=st.lists(st.integers(0, 3), max_size=2).map(tuple),
    seed=st.integers(0, 1000),
)
norms = st.sampled_from(list(NORMS))


def all_four(guess: Guess, poses: Tensor, norm: Norm = Norm.SQUARED_L2) -> dict[str, Tensor]:
    cameras, usable = guess.cameras(), guess.usable()
    mask = usable[..., None].expand(-1, -1, guess.joints)
    in_views = poses_in_views(poses, cameras)
    return {
        "L_in": input_triangulation_loss(
            poses, rotated_to_views(guess.body(), cameras), mask, norm
        ),
        "L_proj": projection_loss(
            in_views, guess.centred_image(), cameras, guess.pairs(), root=(ROOT,)
        ),
        "L_con": consistency_loss(poses, in_views, usable, detach_targets=False),
        "L_out": output_triangulation_loss(
            poses, cameras, usable, root=(ROOT,), norm=norm, detach_targets=False
        ),
    }


@given(guesses)
def test_the_truth_has_no_loss(guess: Guess) -> None:
    exact = Guess(guess.frames, guess.views, guess.joints, unused=guess.unused, seed=guess.seed)
    losses = all_four(exact, exact.poses(), Norm.L1)
    assert max(float(loss) for loss in losses.values()) < 1e-12


@given(guesses, norms)
def test_they_are_what_the_equations_say(guess: Guess, norm: Norm) -> None:
    poses, cameras, used = guess.poses().numpy(), guess.cameras().numpy(), guess.usable().numpy()
    expected = {
        "L_in": slow_losses.loss_input(poses, guess.body().numpy(), cameras, used, NORMS[norm]),
        "L_proj": slow_losses.loss_projection(poses, guess.image().numpy(), cameras, used, ROOT),
        "L_con": slow_losses.loss_consistency(poses, cameras, used) if used.sum(1).max() > 1 else 0,
        "L_out": slow_losses.loss_output(poses, cameras, used, ROOT, NORMS[norm]),
    }
    actual = {name: float(loss) for name, loss in all_four(guess, guess.poses(), norm).items()}
    assert actual == pytest.approx(expected, abs=1e-10)


@given(guesses)
def test_a_view_that_takes_no_part_changes_nothing(guess: Guess) -> None:
    spoilt = torch.where(guess.usable()[..., None, None], guess.poses(), 1.0)
    before, after = all_four(guess, guess.poses()), all_four(guess, spoilt)
    assert {n: float(v) for n, v in before.items()} == {n: float(v) for n, v in after.items()}


# The L1 norm has kinks, which a scene drawn at random meets now and then: these do not.
@pytest.mark.parametrize("name", ["L_in", "L_proj", "L_con", "L_out"])
@pytest.mark.parametrize("guess", [Guess(error=0.2), Guess(2, 3, 2, 0.1, unused=(1,))])
def test_each_gradient_is_the_slope(guess: Guess, name: str) -> None:
    poses = guess.poses().requires_grad_()
    assert gradcheck(lambda free: all_four(guess, free)[name], poses, atol=1e-5)


def test_the_gradient_reaches_every_joint_of_a_root_between_joints() -> None:
    guess = Guess(2, 3, 3, 0.1)
    cameras, poses = guess.cameras(), guess.poses().requires_grad_()

    def loss(free: Tensor) -> Tensor:
        in_views, image = poses_in_views(free, cameras), guess.centred_image()
        return projection_loss(in_views, image, cameras, guess.pairs(), root=(1, 2))

    assert gradcheck(loss, poses, atol=1e-5)


@given(guesses)
def test_detaching_the_targets_changes_the_gradient_but_not_the_loss(guess: Guess) -> None:
    cameras, usable = guess.cameras(), torch.ones(guess.frames, guess.views) > 0
    one, both = (guess.poses().requires_grad_() for _ in range(2))
    detached = consistency_loss(one, poses_in_views(one, cameras), usable)
    in_views = poses_in_views(both, cameras)
    attached = consistency_loss(both, in_views, usable, detach_targets=False)
    slopes = [torch.autograd.grad(detached, one)[0], torch.autograd.grad(attached, both)[0]]
    assert detached.item() == attached.item()
    assert guess.joints == 1 or not torch.equal(*slopes)


def test_a_joint_beside_a_camera_has_no_projection_loss() -> None:
    guess = Guess(joints=2)
    poses = guess.poses()
    poses[:, :, 1] = torch.tensor([0.0, 0.0, -4.0], dtype=torch.float64)
    poses.requires_grad_()
    all_four(guess, poses)["L_proj"].backward()
    assert poses.grad is not None
    assert poses.grad.abs().max() < 10


def test_where_nothing_counts_the_loss_and_its_gradient_are_zero() -> None:
    guess = Guess(error=0.1)
    poses = guess.poses().requires_grad_()
    nobody = torch.zeros(1, 2, dtype=torch.bool)
    loss = output_triangulation_loss(poses, guess.cameras(), nobody, root=(ROOT,))
    loss.backward()
    assert loss.item() == 0
    assert poses.grad is not None
    assert not poses.grad.any()


def test_the_huber_norm_is_that_of_pytorch() -> None:
    deviation = torch.linspace(-0.2, 0.2, 41).double()[:, None]
    expected = huber_loss(deviation, torch.zeros_like(deviation), reduction="none", delta=0.05)
    assert_close(_norm(deviation, Norm.HUBER, -1), expected[:, 0], atol=1e-15, rtol=0)


@pytest.mark.rejects
@pytest.mark.parametrize("root", [0, (), (-1,), (4,), ("pelvis",)])
def test_a_root_that_is_no_joint_is_refused(root: Any) -> None:
    poses, cameras = torch.ones(1, 2, 4, 3), torch.eye(4).expand(1, 2, 4, 4)
    in_views, usable = poses_in_views(poses, cameras), torch.ones(1, 2, dtype=torch.bool)
    pairs = torch.ones(1, 2, 2, 4, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"`root` must .*joints.* got "):
        projection_loss(in_views, poses[..., :2], cameras, pairs, root=root)
    with pytest.raises(ValueError, match=r"`root` must .*joints.* got "):
        output_triangulation_loss(poses, cameras, usable, root=root)


POSES, CAMERAS = torch.ones(5, 4, 6, 3), torch.eye(4).expand(5, 4, 4, 4)
IN_VIEWS, IMAGE = torch.ones(5, 4, 3, 4, 6), torch.ones(5, 4, 6, 2)
JOINTS, PAIRS = torch.ones(5, 4, 6) > 0, torch.ones(5, 4, 4, 6) > 0
USABLE, LABELLED = JOINTS[..., 0], JOINTS[:, 0]
CALLS: dict[Callable[..., Tensor], dict[str, Any]] = {
    rotated_to_views: {"points": POSES[:, 0], "cameras": CAMERAS},
    poses_in_views: {"poses": POSES, "rotations": CAMERAS},
    input_triangulation_loss: {"poses": POSES, "targets": POSES, "mask": JOINTS},
    projection_loss: {
        "in_views": IN_VIEWS, "image": IMAGE, "camera_from_root": CAMERAS, "mask": PAIRS,
    },
    consistency_loss: {
        "poses": POSES, "in_views": IN_VIEWS, "usable": USABLE, "targets": POSES,
        "labelled": LABELLED,
    },
    output_triangulation_loss: {"poses": POSES, "camera_from_root": CAMERAS, "usable": USABLE},
}  # fmt: skip
ROOTED: Any = {projection_loss: {"root": (0,)}, output_triangulation_loss: {"root": (0,)}}
# What PyTorch broadcasts, promotes or takes for other axes.
SPOILT: dict[str, Callable[[Tensor], Any]] = {
    "one frame": lambda one: one[:1],
    "no frames": lambda one: one[0],
    "one more axis": lambda one: one[..., None],
    "fewer of the last axis": lambda one: one[..., :1],
    "another dtype": lambda one: one.double() if one.dtype.is_floating_point else one.float(),
    "whole numbers": lambda one: one.long(),
    "an array": lambda one: one.numpy(),
    "nothing": lambda one: None,
}


@pytest.mark.rejects
@pytest.mark.parametrize("spoil", SPOILT)
@pytest.mark.parametrize(("loss", "name"), [(loss, name) for loss in CALLS for name in CALLS[loss]])
def test_tensors_of_another_shape_or_dtype_are_refused(
    loss: Callable[..., Tensor], name: str, spoil: str
) -> None:
    sound = {**CALLS[loss], **ROOTED.get(loss, {})}
    assert loss(**sound).isfinite().all()
    optional = name in {"targets", "labelled"} and loss is consistency_loss
    if spoil == "nothing" and optional:
        assert loss(**{**sound, name: None}).isfinite()
        return
    # If the first tensor is another, the next one is said to differ from it.
    with pytest.raises(ValueError, match=r"^`\w+` must be .*got "):
        loss(**{**sound, name: SPOILT[spoil](sound[name])})


@pytest.mark.rejects
@pytest.mark.parametrize("norm", ["l1", "squared_l2", "nonsense", None, Norm])
def test_a_norm_is_one_of_the_three(norm: Any) -> None:
    with pytest.raises(ValueError, match="`norm` must be Norm, got "):
        input_triangulation_loss(POSES, POSES, JOINTS, norm)
    with pytest.raises(ValueError, match="`norm` must be Norm, got "):
        output_triangulation_loss(POSES, CAMERAS, USABLE, root=(0,), norm=norm)
