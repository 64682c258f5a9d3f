"""Laws of the small decompositions."""

from dataclasses import dataclass

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from multiview_geom import smallest_eigenvector
from tests.multiview_geom.strategies import numbers
from tests.multiview_geom.tolerances import assert_close


@dataclass(frozen=True)
class Spectrum:
    """A symmetric matrix by its eigenvalues and the angles that turn its axes."""

    values: tuple[float, ...] = (0.0, 1.0, 2.0)
    turn: float = 0.0

    def axes(self) -> Tensor:
        size = len(self.values)
        angles = self.turn * torch.arange(1.0, size * size + 1).double().sin().reshape(size, size)
        axes: Tensor = torch.linalg.matrix_exp(angles - angles.mT)
        return axes

    def matrix(self) -> Tensor:
        values = torch.tensor(self.values, dtype=torch.float64)
        return (self.axes() * values) @ self.axes().mT


@st.composite
def spectra(draw: st.DrawFn) -> Spectrum:
    """Draw 3x3 and 4x4 matrices whose smallest eigenvalue stands apart by half or more."""
    lowest = draw(numbers(-3.0, 3.0))
    others = draw(st.lists(numbers(0.5, 4.0), min_size=2, max_size=3))
    return Spectrum((lowest, *(lowest + gap for gap in others)), turn=draw(numbers(-2.0, 2.0)))


TIES = [
    Spectrum((0.0, 0.0, 1.0)),
    Spectrum((1.0, 1.0, 1.0), turn=1.0),
    Spectrum((0.0, 0.0, 0.0, 0.0)),
    Spectrum((1.0, 1.0, 1.0, 1.0), turn=1.0),
    Spectrum((-1.0, -1.0, -1.0, 3.0), turn=0.5),
    Spectrum((0.0, 0.0, 1.0, 2.0), turn=0.5),
]


@given(spectra())
def test_it_is_a_unit_eigenvector(spectrum: Spectrum) -> None:
    vector = smallest_eigenvector(spectrum.matrix())
    assert_close(spectrum.matrix() @ vector, spectrum.values[0] * vector, atol=1e-11)
    assert_close(vector.norm(), torch.tensor(1.0).double(), atol=1e-12)


@given(spectra())
def test_its_largest_component_is_positive(spectrum: Spectrum) -> None:
    vector = smallest_eigenvector(spectrum.matrix())
    assert vector.max() >= -vector.min()


@given(spectra(), numbers(0.001, 1000.0).filter(bool), numbers(-5.0, 5.0))
def test_scale_and_shift_do_not_matter(spectrum: Spectrum, scale: float, shift: float) -> None:
    moved = scale * spectrum.matrix() + shift * torch.eye(len(spectrum.values)).double()
    line = torch.outer(*[smallest_eigenvector(spectrum.matrix())] * 2)
    assert_close(torch.outer(*[smallest_eigenvector(moved)] * 2), line, atol=1e-8)


@given(spectra())
def test_it_agrees_with_lapack(spectrum: Spectrum) -> None:
    _, vectors = torch.linalg.eigh(spectrum.matrix())
    vector = smallest_eigenvector(spectrum.matrix())
    assert_close((vectors[:, 0] @ vector).abs(), torch.tensor(1.0).double(), atol=1e-12)


@given(spectra())
def test_single_precision_is_right_to_round_off(spectrum: Spectrum) -> None:
    matrix = spectrum.matrix().float()
    line = torch.outer(*[smallest_eigenvector(matrix.double())] * 2)
    assert_close(torch.outer(*[smallest_eigenvector(matrix)] * 2).double(), line, atol=3e-7)


@pytest.mark.parametrize("tie", TIES, ids=str)
def test_a_tie_gives_one_of_the_eigenvectors_and_a_finite_gradient(tie: Spectrum) -> None:
    matrix = tie.matrix().requires_grad_()
    vector = smallest_eigenvector(matrix)
    vector.sum().backward()
    assert_close(
        vector @ matrix @ vector, torch.tensor(tie.values[0], dtype=torch.float64), atol=1e-9
    )
    assert matrix.grad.isfinite().all()


@given(spectra())
def test_its_derivatives_are_right(spectrum: Spectrum) -> None:
    matrix = spectrum.matrix().requires_grad_()
    assert gradcheck(smallest_eigenvector, (matrix,), fast_mode=True, check_forward_ad=True)
    assert gradgradcheck(smallest_eigenvector, (matrix,), fast_mode=True)


@pytest.mark.parametrize("values", [(0.0, 2.0, 2.0), (0.0, 2.0, 2.0, 2.0), (-1.0, 2.0, 2.0, 5.0)])
def test_equal_other_eigenvalues_do_not_disturb_the_gradient(values: tuple[float, ...]) -> None:
    matrix = Spectrum(values, turn=0.7).matrix().requires_grad_()
    assert gradcheck(smallest_eigenvector, (matrix,))
    assert gradgradcheck(smallest_eigenvector, (matrix,))


@pytest.mark.parametrize("exponent", range(-10, 0, 2))
@given(spectrum=spectra())
def test_at_any_gap_it_is_right_to_round_off_over_the_gap(
    exponent: int, spectrum: Spectrum
) -> None:
    gap = 10.0**exponent
    low, _, *others = spectrum.values
    close = Spectrum((low, low + gap, *others), turn=spectrum.turn)
    vector, expected = smallest_eigenvector(close.matrix()), close.axes()[:, 0]
    error = (vector - expected * (vector @ expected).sign()).norm()
    # Building the matrix rounds some ten times; its axes are orthogonal to 1e-14.
    assert error * gap <= 100 * torch.finfo(torch.float64).eps * (1 + abs(low)) + 1e-13 * gap


@pytest.mark.parametrize("exponent", range(-8, 0, 2))
def test_at_any_gap_the_gradient_is_that_of_the_spectrum(exponent: int) -> None:
    gap = 10.0**exponent
    close = Spectrum((0.0, gap, 1.0, 2.0), turn=0.7)
    matrix, axes = close.matrix().requires_grad_(), close.axes()
    vector = smallest_eigenvector(matrix)
    (slope,) = torch.autograd.grad(vector @ axes[:, 1], matrix)
    turned = torch.outer(axes[:, 1], vector.detach())
    assert_close(gap * slope, -(turned + turned.mT) / 2, atol=1e-13 / gap + 1e-12)


@pytest.mark.rejects
def test_a_matrix_is_three_by_three_or_four_by_four() -> None:
    with pytest.raises(ValueError, match=r"`symmetric` must have shape"):
        smallest_eigenvector(torch.ones(5, 5))


@given(spectra(), st.integers(-12, 15))
def test_its_gradient_shrinks_as_the_matrix_grows(spectrum: Spectrum, exponent: int) -> None:
    unit = spectrum.matrix().float().requires_grad_()
    scaled = (10.0**exponent * spectrum.matrix().float()).requires_grad_()
    smallest_eigenvector(unit)[0].backward()
    smallest_eigenvector(scaled)[0].backward()
    assert_close(10.0**exponent * scaled.grad, unit.grad, atol=1e-4)
