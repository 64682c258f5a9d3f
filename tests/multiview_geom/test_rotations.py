"""Laws of the forms of a rotation."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from multiview_geom import (
    rotation_from_quaternion,
    rotation_from_vector,
    rotation_to_quaternion,
    rotation_to_vector,
)
from tests.multiview_geom.strategies import numbers, triples
from tests.multiview_geom.tolerances import ROUND_OFF, assert_close

# One axis shorter than a float64 can square, one at each of the series' ends, one at half a turn.
ANGLES = (0.0, 1e-200, 1e-9, 0.3162, 0.3163, 0.63, 0.64, 3.1415926, torch.pi)
AXIS = torch.tensor([0.48, -0.6, 0.64], dtype=torch.float64)
every_angle = pytest.mark.parametrize("angle", ANGLES)

vectors = triples(3.0).map(lambda drawn: torch.tensor(drawn, dtype=torch.float64))
quaternions = st.tuples(*[numbers(-2.0, 2.0)] * 4).filter(any).map(torch.tensor)


@given(vector=vectors)
def test_vectors_and_matrices_are_scipys(vector: Tensor) -> None:
    expected = Rotation.from_rotvec(vector.numpy())
    rotation = rotation_from_vector(vector)
    assert_close(rotation, torch.from_numpy(expected.as_matrix()), atol=ROUND_OFF)
    again = rotation_from_vector(rotation_to_vector(rotation))
    assert_close(again, rotation, atol=ROUND_OFF)


@given(quaternion=quaternions)
def test_quaternions_and_matrices_are_scipys(quaternion: Tensor) -> None:
    quaternion = quaternion.double()
    expected = Rotation.from_quat(quaternion.numpy(), scalar_first=True)
    rotation = rotation_from_quaternion(quaternion)
    assert_close(rotation, torch.from_numpy(expected.as_matrix()), atol=ROUND_OFF)
    unit = quaternion / quaternion.norm()
    found = rotation_to_quaternion(rotation)
    assert found[0] >= 0
    assert torch.minimum((found - unit).norm(), (found + unit).norm()) < ROUND_OFF


@every_angle
def test_an_angle_survives_both_ways(angle: float) -> None:
    vector = rotation_to_vector(rotation_from_vector(angle * AXIS))
    found = torch.minimum((vector - angle * AXIS).norm(), (vector + angle * AXIS).norm())
    assert found < 1e-7 if angle > 3 else found <= ROUND_OFF * angle


@every_angle
@pytest.mark.parametrize(
    "convert",
    [rotation_to_vector, rotation_to_quaternion],
    ids=["vector", "quaternion"],
)
def test_derivatives_by_the_matrix_are_the_slopes(angle: float, convert: object) -> None:
    rotation = rotation_from_vector(angle * AXIS).requires_grad_()
    # Half a turn has two vectors: the matrix on one side of the jump only.
    if angle < 3:
        assert gradcheck(convert, rotation)
        assert gradgradcheck(convert, rotation)
    first = torch.autograd.grad(convert(rotation).sum(), rotation, create_graph=True)[0]
    (second,) = torch.autograd.grad(first.square().sum(), rotation)
    assert first.isfinite().all()
    assert second.isfinite().all()


@every_angle
def test_derivatives_by_the_vector_are_the_slopes(angle: float) -> None:
    vector = (angle * AXIS).requires_grad_()
    assert gradcheck(rotation_from_vector, vector)
    assert gradgradcheck(rotation_from_vector, vector)


def test_a_zero_quaternion_is_nan_without_a_gradient() -> None:
    quaternions = torch.tensor([[0.0, 0.0, 0.0, 0.0], [1.0, 2.0, 3.0, 4.0]]).requires_grad_()
    rotations = rotation_from_quaternion(quaternions)
    assert rotations[0].isnan().all()
    (gradient,) = torch.autograd.grad(rotations[:, 0].nansum(), quaternions)
    assert (gradient[0] == 0).all()
    assert gradient[1].isfinite().all()


@pytest.mark.parametrize("convert", [rotation_to_vector, rotation_to_quaternion])
@given(vector=vectors)
def test_a_reflection_is_unknown_and_has_no_gradient(
    convert: Callable[[Tensor], Tensor], vector: Tensor
) -> None:
    rotations = torch.stack([-rotation_from_vector(vector), rotation_from_vector(vector)])
    rotations.requires_grad_()
    found = convert(rotations)
    assert found.isnan().all(dim=-1).tolist() == [True, False]
    found.nansum().backward()
    assert rotations.grad is not None
    assert not rotations.grad[0].any()
    assert rotations.grad.isfinite().all()
