"""Laws of the size of a subject, and of the PCK's threshold."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.evaluation.published_tables import evaluate_for
from selfsup_lifting.evaluation.subject_size import extent, pck_threshold
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.training.lifter import Lifter
from tests.multiview_geom.strategies import Pose, numbers, poses
from tests.selfsup_lifting.files.quadruped import TOML, recording
from tests.selfsup_lifting.strategies import Scene, scenes


@pytest.fixture(scope="module")
def dog(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    from selfsup_lifting.skeleton.skeleton_file import load_skeleton

    path = tmp_path_factory.mktemp("dog") / "dog15.toml"
    path.write_text(TOML)
    return recording(load_skeleton(path), 0)


@given(scenes, poses, numbers(0.01, 100.0))
def test_the_extent_scales_and_does_not_change_by_rigid_motion(
    scene: Scene, pose: Pose, scale: float
) -> None:
    points = scene.truth().double()
    moved = scale * points @ pose.rotation().mT + torch.tensor(pose.shift).double()
    assert extent(moved) == pytest.approx(scale * extent(points), rel=1e-6)


@given(scenes, st.integers(0, 16))
def test_the_extent_is_the_largest_distance_between_known_joints(
    scene: Scene, unknown: int
) -> None:
    points = scene.truth().double()[:1]
    points[0, unknown] = torch.nan
    known = points[0, torch.arange(points.shape[1]) != unknown]
    assert extent(points) == pytest.approx(pdist(known.numpy()).max())


def test_a_subject_of_which_one_joint_is_known_has_no_extent() -> None:
    points = torch.full((2, 17, 3), torch.nan)
    points[:, 3] = 1.0
    assert extent(points) != extent(points)
    assert pck_threshold(Scene().recording(), points) == 150.0


@given(numbers(0.01, 3.0))
def test_the_threshold_of_an_animal_is_a_tenth_of_its_extent(dog: Recording, scale: float) -> None:
    points = scale * dog.truth.double()
    assert pck_threshold(dog, points) == pytest.approx(100 * extent(points))


@given(numbers(0.51, 2.99))
def test_the_threshold_of_people_is_that_of_the_field(size: float) -> None:
    scene = Scene(frames=3)
    points = scene.truth().double() * size / extent(scene.truth().double())
    assert pck_threshold(scene.recording(), points) == 150.0


def test_a_person_of_17_cm_is_not_measured_in_heads_of_a_person() -> None:
    scene = Scene(frames=3)
    small = scene.truth().double() * 0.17 / extent(scene.truth().double())
    assert pck_threshold(scene.recording(), small) == pytest.approx(17.0)
    published = replace(scene.recording(), source=Source("x", dataset="mpi_inf_3dhp"))
    assert pck_threshold(published, small) == 150.0


def test_the_title_of_the_table_states_the_threshold(dog: Recording) -> None:
    small = LifterSettings(width=16, blocks=1)
    evaluation, (table,) = evaluate_for(Lifter(dog.skeleton, small).eval(), [dog], Config())
    threshold = 100 * extent(dog.truth)
    assert evaluation.pck_threshold_mm == pytest.approx((threshold, threshold))
    sentence = (
        f"PCK below {threshold:.3g} mm (10% of the subject's largest distance between joints)"
    )
    assert sentence in table.title
    person = Scene(frames=3).recording()
    _, (table,) = evaluate_for(Lifter(person.skeleton, small).eval(), [person], Config())
    assert table.title == "Single-view predictions, PCK below 150 mm"
