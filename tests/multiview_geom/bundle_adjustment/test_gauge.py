"""Laws of moving rigs to other worlds."""

from dataclasses import replace

import torch

from multiview_geom import Similarity, align_rigs, ring_of_cameras, transform_cameras
from tests.multiview_geom.tolerances import assert_close

RING = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
NOWHERE = torch.eye(4, dtype=torch.float64)[:3, 3]


def test_cameras_of_the_same_names_are_paired_by_them() -> None:
    found = align_rigs(RING, RING.select([2, 0, 3, 1]))
    assert_close(found.rotation, torch.eye(3).double(), atol=1e-12)
    assert_close(found.translation, NOWHERE, atol=1e-12)


def test_cameras_of_other_names_are_paired_by_their_order() -> None:
    found = align_rigs(RING, replace(RING, names=("a", "b", "c", "d")))
    assert_close(found.rotation, torch.eye(3).double(), atol=1e-12)


def test_cameras_at_one_place_have_no_scale() -> None:
    rotation = RING.camera_from_world[:, :3, :3]
    pose = RING.camera_from_world.clone()
    pose[:, :3, 3] = -(rotation @ torch.tensor([1.0, 2.0, 3.0]).double())
    together = replace(RING, camera_from_world=pose)
    for source, target in ((together, RING), (RING, together)):
        assert align_rigs(source, target).scale.isnan()


def test_a_scale_that_is_not_positive_moves_no_rig() -> None:
    for scale in (0.0, -1.0):
        mirrored = Similarity(torch.eye(3).double(), NOWHERE, torch.tensor(scale).double())
        assert transform_cameras(RING, mirrored).centers.isnan().all()
