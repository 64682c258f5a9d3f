"""Laws of labels whose bones are made as long in every frame, and the same left and right."""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.testing import assert_close

from multiview_geom import world_to_camera
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.training.dataset import Frames
from selfsup_lifting.training.equal_bones import with_equal_bones
from tests.selfsup_lifting.strategies import Scene

PERSON = SKELETONS["h36m17"]
FRAMES = 200
ANKLE = PERSON.joints.index("right_ankle")


def exact(size: float = 1.0, recording: int = 0) -> Frames:
    """Return frames of a person whose bones point anywhere, each of the length of its pair."""
    draw = torch.Generator().manual_seed(1)
    labels = torch.zeros(FRAMES, 17, 3)
    for parent, joint in PERSON.bones:
        length = size * (0.2 + 0.02 * min(joint, PERSON.mirror_order[joint]))
        direction = normalize(torch.randn(FRAMES, 3, generator=draw), dim=-1)
        labels[:, joint] = labels[:, parent] + length * direction
    cameras = torch.eye(4).repeat(FRAMES, 2, 1, 1)
    cameras[:, :, :3, :3] = Scene(views=2).recording().cameras.camera_from_world[:, :3, :3]
    cameras[..., 2, 3] = 5.0
    seen = torch.ones(FRAMES, 2, 17, dtype=torch.bool)
    origin = torch.stack([torch.full((FRAMES,), recording), torch.arange(FRAMES)], dim=1)
    return Frames(
        torch.zeros(FRAMES, 2, 17, 2), seen, seen.float(), labels, seen[:, 0], cameras, origin
    )


def both(one: Frames, other: Frames) -> Frames:
    pairs = zip(vars(one).values(), vars(other).values(), strict=True)
    return Frames(*(torch.cat(pair) for pair in pairs))


def shifted(frames: Frames) -> Frames:
    """Return the frames of a detector that puts one ankle too high."""
    labels = frames.labels.clone()
    labels[:, ANKLE, 2] += 0.05
    return replace(frames, labels=labels)


def noisy(frames: Frames) -> Frames:
    error = 0.02 * torch.randn(frames.labels.shape, generator=torch.Generator().manual_seed(2))
    error[:, 0] = 0.0
    return replace(frames, labels=frames.labels + error)


def lengths(frames: Frames) -> Tensor:
    parents, joints = torch.tensor(PERSON.bones).T
    return (frames.labels[:, joints] - frames.labels[:, parents]).norm(dim=-1)


def error(frames: Frames, truth: Frames) -> Tensor:
    """Return the root-mean-square error, without a shift of the whole body."""
    errors = frames.labels - truth.labels
    return (errors - errors.mean(dim=1, keepdim=True)).square().sum(dim=-1).mean().sqrt()


def test_exact_labels_stay() -> None:
    frames = exact()
    assert_close(with_equal_bones(frames, ["S1"], PERSON).labels, frames.labels, rtol=0, atol=1e-5)


def test_bones_keep_their_lengths_and_are_the_same_left_and_right() -> None:
    frames = with_equal_bones(noisy(shifted(exact())), ["S1"], PERSON)
    found = lengths(frames)
    assert float((found - found.median(dim=0).values).abs().max()) < 2e-3
    places = {bone: number for number, bone in enumerate(PERSON.bones)}
    order = PERSON.mirror_order
    for (parent, joint), place in places.items():
        other = places[int(order[parent]), int(order[joint])]
        assert_close(found[:, place].median(), found[:, other].median(), rtol=0, atol=1e-3)


def test_random_errors_and_those_of_one_joint_become_smaller() -> None:
    truth = exact()
    for wrong in (shifted(truth), noisy(truth)):
        assert error(with_equal_bones(wrong, ["S1"], PERSON), truth) < 0.95 * error(wrong, truth)


def test_a_leg_that_hangs_is_corrected_by_the_other_one() -> None:
    frames = exact()
    shin = PERSON.parents[ANKLE], ANKLE
    labels = frames.labels.clone()
    for ankle in (ANKLE, PERSON.mirror_order[ANKLE]):
        labels[:, ankle] = labels[:, PERSON.parents[ankle]] - torch.tensor([0.0, 0.0, 0.4])
    found = with_equal_bones(shifted(replace(frames, labels=labels)), ["S1"], PERSON)
    median = lengths(found)[:, PERSON.bones.index(shin)].median()
    assert_close(median, torch.tensor(0.375), rtol=0, atol=1e-3)


def test_the_body_stays_where_it_is_before_the_cameras() -> None:
    wrong = noisy(exact())
    found = with_equal_bones(wrong, ["S1"], PERSON)
    before, after = (
        world_to_camera(one.camera_from_root, one.labels).mean(dim=2) for one in (wrong, found)
    )
    assert_close(found.labels[:, 0], torch.zeros(FRAMES, 3))
    assert float((found.camera_from_root - wrong.camera_from_root).abs().max()) > 1e-3
    assert_close(after, before, rtol=0, atol=1e-5)


def test_every_subject_has_its_own_bones() -> None:
    frames = both(exact(), exact(size=0.5, recording=1))
    own = with_equal_bones(noisy(frames), ["S1", "S2"], PERSON)
    assert_close(lengths(own), lengths(frames), rtol=0, atol=0.01)
    shared = with_equal_bones(frames, ["S1", "S1"], PERSON).labels
    assert float((shared - frames.labels).norm(dim=-1).max()) > 0.05


def test_unknown_labels_stay_unknown_and_move_nothing() -> None:
    frames = exact()
    labelled = frames.labelled.clone()
    labelled[::2, ANKLE] = False
    labels = torch.where(labelled[..., None], frames.labels, 0.0)
    found = with_equal_bones(replace(frames, labels=labels, labelled=labelled), ["S1"], PERSON)
    assert_close(found.labels, labels, rtol=0, atol=1e-5)
    nothing = replace(frames, labelled=torch.zeros_like(labelled), labels=torch.zeros_like(labels))
    assert not with_equal_bones(nothing, ["S1"], PERSON).labels.any()
