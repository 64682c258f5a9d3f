"""Laws of Procrustes alignment."""

from collections.abc import Callable

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from multiview_geom import Similarity, align_rigid, align_similarity, nearest_rotation
from tests.multiview_geom.strategies import (
    Cloud,
    Pose,
    numbers,
    poses,
    spread_clouds,
    triples,
    weights,
)
from tests.multiview_geom.tolerances import ROUND_OFF, assert_close

Way = Callable[[float], tuple[float, float, float]]

# Singular values, signed by the determinant, whose nearest rotation is far from a tie.
clear_values = st.tuples(numbers(2.0, 4.0), numbers(1.0, 1.9), numbers(-0.8, 0.9))

# Ties: mirror images, rank two, rank one, nothing, equal values.
TIES = {
    "mirror image": (1.0, 0.5, -0.5),
    "mirror image of a ball": (1.0, 1.0, -1.0),
    "nearly a mirror image": (1.0, 0.5 + 1e-10, -0.5),
    "rank two": (1.0, 0.5, 0.0),
    "rank one": (1.0, 0.0, 0.0),
    "nearly rank one": (1.0, 1e-9, -1e-9),
    "zero": (0.0, 0.0, 0.0),
    "cube": (1.0, 1.0, 1.0),
    "two equal": (1.0, 1.0, 0.2),
}

# On the way to a tie, which the last two singular values reach as the share goes to zero.
WAYS: dict[str, Way] = {
    "mirror image": lambda share: (1.0, 0.5 + share, -0.5),
    "mirror image of a ball": lambda share: (1.0, 1.0 - share, -1.0 + 2 * share),
    "mirror image of a disc": lambda share: (1.0, 1.0, -1.0 + share),
    "rank one": lambda share: (1.0, share, share / 2),
    "rank one from a mirror image": lambda share: (1.0, 2 * share, -share),
    "rank two": lambda share: (1.0, share, 0.0),
}

# A rounding of a matrix of size one turns its rotation by this over the gap, in round-offs.
TURN_ROUND_OFFS = {torch.float32: 2, torch.float64: 200}

# How many round-offs of one the objective may lack at a tie: the sum itself has about ten.
TIE_ROUND_OFFS = 20

CUBE = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=torch.float64)] * 3)


def matrix_of(values: tuple[float, ...], left: Pose, right: Pose) -> Tensor:
    return left.rotation() @ torch.tensor(values, dtype=torch.float64).diag() @ right.rotation().mT


def rotation_by_svd(matrix: Tensor) -> Tensor:
    left, _, right = torch.linalg.svd(matrix)
    signs = torch.ones(3, dtype=matrix.dtype)
    signs[2] = torch.linalg.det(left @ right)
    return left @ signs.diag() @ right


def rescaled_gradient(matrix: Tensor, scale: float = 1.0) -> Tensor:
    """Differentiate at a scaled matrix, and take the scale out again."""
    scaled = (scale * matrix).requires_grad_()
    nearest_rotation(scaled)[0].sum().backward()
    return scale * scaled.grad


def overlap(rotation: Tensor, matrix: Tensor) -> Tensor:
    return (rotation.double() * matrix.double()).sum()


def fitted(transform: Similarity, source: Tensor, target: Tensor, trust: Tensor) -> Tensor:
    return (trust * (transform.apply(source) - target).square().sum(dim=-1)).sum()


@given(spread_clouds(), poses)
def test_it_finds_a_rigid_motion(cloud: Cloud, pose: Pose) -> None:
    moved = cloud.points() @ pose.rotation().mT + torch.tensor(pose.shift, dtype=torch.float64)
    found = align_rigid(cloud.points(), moved)
    assert_close(found.rotation, pose.rotation(), atol=1e-10)
    assert_close(found.apply(cloud.points()), moved, atol=1e-10)


@given(spread_clouds(), poses, numbers(0.1, 10.0))
def test_it_finds_a_similarity(cloud: Cloud, pose: Pose, scale: float) -> None:
    moved = scale * cloud.points() @ pose.rotation().mT + torch.tensor(
        pose.shift, dtype=torch.float64
    )
    found = align_similarity(cloud.points(), moved)
    assert_close(found.scale, torch.tensor(scale, dtype=torch.float64), atol=1e-9)
    assert_close(found.apply(cloud.points()), moved, atol=1e-9)


@given(st.integers(2, 6), numbers(-1.0, 1.0))
def test_it_finds_a_turn_in_any_number_of_dimensions(size: int, turn: float) -> None:
    skew = turn * torch.ones(size, size).double().triu(1)
    rotation = torch.linalg.matrix_exp(skew - skew.mT)
    points = torch.cat([torch.eye(size), torch.arange(size)[None] / size]).double()
    assert_close(align_rigid(points, points @ rotation.mT).rotation, rotation, atol=1e-9)


@given(clear_values, poses, poses)
def test_what_comes_back_is_a_rotation(values: tuple[float, ...], left: Pose, right: Pose) -> None:
    found = nearest_rotation(matrix_of(values, left, right))
    assert_close(found.mT @ found, torch.eye(3).double(), atol=ROUND_OFF)
    assert_close(torch.linalg.det(found), torch.tensor(1.0).double(), atol=ROUND_OFF)


@given(clear_values, poses, poses)
def test_turning_a_matrix_turns_its_nearest_rotation(
    values: tuple[float, ...], left: Pose, right: Pose
) -> None:
    matrix = matrix_of(values, left, right)
    found = right.rotation() @ nearest_rotation(matrix) @ left.rotation()
    turned = nearest_rotation(right.rotation() @ matrix @ left.rotation())
    assert_close(turned, found, atol=1e-11)


@given(spread_clouds(), triples(0.3), weights, triples(0.05), numbers(-0.05, 0.05))
def test_no_other_similarity_fits_better(
    cloud: Cloud,
    noise: tuple[float, ...],
    drawn: tuple[float, ...],
    turn: tuple[float, float, float],
    growth: float,
) -> None:
    source = cloud.points()
    target = source.roll(1, dims=-1) + torch.tensor(noise, dtype=torch.float64) * source.cos()
    trust = torch.tensor(drawn, dtype=torch.float64).repeat(len(source))[: len(source)]
    best = align_similarity(source, target, weights=trust)
    turned = best.rotation @ Pose(turn=turn).rotation()
    other = Similarity(turned, best.translation + growth, best.scale * (1 + growth))
    assert fitted(best, source, target, trust) <= fitted(other, source, target, trust) + 1e-12


@given(clear_values, poses, poses)
def test_it_agrees_with_singular_values(values: tuple[float, ...], left: Pose, right: Pose) -> None:
    matrix = matrix_of(values, left, right)
    assert_close(nearest_rotation(matrix), rotation_by_svd(matrix), atol=1e-11)


def test_random_matrices_in_single_precision_are_right_to_two_millionths() -> None:
    matrices = torch.randn(100_000, 3, 3, generator=torch.Generator().manual_seed(0))
    left, _, right = torch.linalg.svd(matrices.double())
    sign = torch.linalg.det(left @ right)
    expected = torch.cat([left[..., :2], left[..., 2:] * sign[:, None, None]], dim=-1) @ right
    assert (nearest_rotation(matrices) - expected).abs().max() < 2e-6


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("values", TIES.values(), ids=TIES.keys())
@given(left=poses, right=poses)
def test_at_a_tie_one_of_the_best_comes_back(
    dtype: torch.dtype, values: tuple[float, ...], left: Pose, right: Pose
) -> None:
    matrix = matrix_of(values, left, right).to(dtype).requires_grad_()
    found = nearest_rotation(matrix)
    found.sum().backward()
    best = overlap(rotation_by_svd(matrix.detach().double()), matrix.detach())
    assert (
        overlap(found.detach(), matrix.detach()) >= best - TIE_ROUND_OFFS * torch.finfo(dtype).eps
    )
    assert matrix.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@given(clear_values, poses, poses)
def test_ties_leave_their_neighbours_alone(
    dtype: torch.dtype, values: tuple[float, ...], left: Pose, right: Pose
) -> None:
    clear = matrix_of(values, left, right).to(dtype)
    ties = [matrix_of(tie, left, right).to(dtype) for tie in TIES.values()]
    bad = torch.full_like(clear, torch.nan)
    found = nearest_rotation(torch.stack([clear, *ties, bad, clear]))
    alone = nearest_rotation(clear)
    assert torch.equal(found[0], alone)
    assert torch.equal(found[-1], alone)
    assert found[:-2].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@given(exponent=numbers(-3.0, -0.5), left=poses, right=poses)
def test_near_a_tie_only_the_rounding_of_the_input_counts(
    dtype: torch.dtype, way: Way, exponent: float, left: Pose, right: Pose
) -> None:
    values = way(10**exponent)
    matrix = matrix_of(values, left, right).to(dtype)
    error = (nearest_rotation(matrix).double() - rotation_by_svd(matrix.double())).abs().max()
    gap = values[1] + values[2]
    assert error * gap <= TURN_ROUND_OFFS[dtype] * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@given(exponent=numbers(-14.0, -0.5), left=poses, right=poses)
def test_however_near_a_tie_no_rotation_overlaps_more(
    dtype: torch.dtype, way: Way, exponent: float, left: Pose, right: Pose
) -> None:
    matrix = matrix_of(way(10**exponent), left, right).to(dtype)
    found, best = nearest_rotation(matrix), rotation_by_svd(matrix.double())
    lacking = overlap(best, matrix) - overlap(found, matrix)
    assert lacking <= TIE_ROUND_OFFS * torch.finfo(dtype).eps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS.keys())
@given(exponent=numbers(-3.0, -0.5), left=poses, right=poses)
def test_a_gradient_that_is_differentiated_again_is_the_same(
    dtype: torch.dtype, way: Way, exponent: float, left: Pose, right: Pose
) -> None:
    values = way(10**exponent)
    matrix = matrix_of(values, left, right).to(dtype).requires_grad_()
    outputs = nearest_rotation(matrix)
    upstream = torch.arange(9.0).to(dtype).reshape(3, 3)
    once, again = (
        torch.autograd.grad(outputs, matrix, upstream, create_graph=recorded, retain_graph=True)[0]
        for recorded in (False, True)
    )
    # The slope is one over the gap, and so is that of the eigenvalue, whose rounding turns the gap.
    gap = values[1] + values[2]
    assert (once - again).abs().max() * gap**3 <= 1_000 * torch.finfo(dtype).eps


@given(poses, poses)
def test_a_gap_of_1e_minus_5_is_seen_in_double_precision(left: Pose, right: Pose) -> None:
    matrix = matrix_of((1.0, 0.5 + 1e-5, -0.5), left, right)
    assert_close(nearest_rotation(matrix), rotation_by_svd(matrix), atol=1e-8)


@given(clear_values, poses, poses, st.integers(-8, 8))
def test_the_gradient_shrinks_as_the_matrix_grows(
    values: tuple[float, ...], left: Pose, right: Pose, exponent: int
) -> None:
    matrix = matrix_of(values, left, right)
    assert_close(rescaled_gradient(matrix, 10.0**exponent), rescaled_gradient(matrix), atol=1e-10)


@given(clear_values, poses, poses, st.integers(-15, 15))
def test_in_single_precision_too(
    values: tuple[float, ...], left: Pose, right: Pose, exponent: int
) -> None:
    matrix = matrix_of(values, left, right).float()
    assert_close(rescaled_gradient(matrix, 10.0**exponent), rescaled_gradient(matrix), atol=1e-4)


@given(clear_values, poses, poses, st.integers(-150, 150))
def test_matrices_of_any_size_have_the_same_nearest_rotation(
    values: tuple[float, ...], left: Pose, right: Pose, exponent: int
) -> None:
    matrix = matrix_of(values, left, right)
    assert_close(nearest_rotation(10.0**exponent * matrix), nearest_rotation(matrix), atol=1e-10)


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-6])
@given(cloud=spread_clouds(), pose=poses)
def test_small_point_sets_have_the_gradient_of_large_ones(
    size: float, cloud: Cloud, pose: Pose
) -> None:
    large = cloud.points().requires_grad_()
    small = (size * cloud.points()).requires_grad_()
    target = cloud.points() @ pose.rotation().mT + 0.1 * cloud.points().cos()
    align_rigid(large, target).rotation[0].sum().backward()
    align_rigid(small, size * target).rotation[0].sum().backward()
    assert_close(size * small.grad, large.grad, atol=1e-8)


@given(clear_values, poses, poses)
def test_the_derivatives_of_a_rotation_are_right(
    values: tuple[float, ...], left: Pose, right: Pose
) -> None:
    matrix = matrix_of(values, left, right).requires_grad_()
    assert gradcheck(nearest_rotation, (matrix,), fast_mode=True, check_forward_ad=True)
    assert gradgradcheck(nearest_rotation, (matrix,), fast_mode=True)


@pytest.mark.parametrize("size", [2, 3, 4])
@given(drawn=weights)
def test_the_derivatives_of_an_alignment_are_right(size: int, drawn: tuple[float, ...]) -> None:
    source = torch.cat([torch.eye(size), torch.arange(size)[None] / size]).double()
    target = source.roll(1, dims=-1) + 0.1 * source.cos()
    trust = torch.tensor(drawn, dtype=torch.float64).repeat(size + 1)[: size + 1]
    inputs = tuple(tensor.requires_grad_() for tensor in (source, target, trust))
    assert gradcheck(_moved, inputs, fast_mode=True)
    assert gradgradcheck(_moved, inputs, fast_mode=True)


def test_a_cube_has_finite_first_and_second_derivatives() -> None:
    source = CUBE.clone().requires_grad_()
    assert gradcheck(_moved, (source, CUBE, torch.ones(8).double()))
    assert gradgradcheck(_moved, (source, CUBE, torch.ones(8).double()))


@given(spread_clouds(), triples(0.2))
def test_a_missing_point_reaches_neither_value_nor_gradient(
    cloud: Cloud, noise: tuple[float, ...]
) -> None:
    target = cloud.points().roll(1, dims=-1) + torch.tensor(noise, dtype=torch.float64)
    more = torch.cat([cloud.points(), torch.full((1, 3), torch.nan)]).requires_grad_()
    found = align_similarity(more, torch.cat([target, target[:1]]))
    expected = align_similarity(cloud.points(), target)
    (found.translation.sum() + found.scale).backward()
    assert_close(found.rotation, expected.rotation, atol=1e-11)
    assert (more.grad[-1] == 0).all()
    assert more.grad.isfinite().all()


@pytest.mark.parametrize("count", [0, 1, 2])
@pytest.mark.parametrize("size", [2, 3, 4])
def test_too_few_points_get_a_finite_transform_and_gradient(count: int, size: int) -> None:
    source = torch.eye(size, dtype=torch.float64).requires_grad_()
    trust = (torch.arange(size) < count).double().requires_grad_()
    found = align_similarity(source, source.detach() + 1.0, weights=trust)
    moved = found.apply(source)[:count]
    (moved.sum() + found.scale).backward()
    assert_close(moved, source[:count] + 1.0, atol=1e-9)
    assert source.grad.isfinite().all()
    assert trust.grad.isfinite().all()


@given(spread_clouds(), numbers(0.0, 0.01))
def test_a_mirror_image_is_turned_and_not_mirrored(cloud: Cloud, noise: float) -> None:
    flat = cloud.points() * torch.tensor([1.0, 1.0, noise], dtype=torch.float64)
    mirrored = flat * torch.tensor([1.0, 1.0, -1.0])
    found = align_rigid(flat, mirrored)
    best = fitted(found, flat, mirrored, torch.ones(len(flat)))
    unmoved = Similarity(torch.eye(3).double(), torch.zeros(3).double(), torch.ones(()).double())
    assert best <= fitted(unmoved, flat, mirrored, torch.ones(len(flat))) + 1e-12


@pytest.mark.parametrize("align", [align_rigid, align_similarity])
@pytest.mark.parametrize("count", [2, 4])
@given(cloud=spread_clouds())
def test_points_on_a_line_pass_the_gradient_that_is_determined(
    align: Callable[..., Similarity], count: int, cloud: Cloud
) -> None:
    steps = torch.linspace(-1.0, 1.0, count, dtype=torch.float64)
    line = steps[:, None] * torch.tensor([1.0, 0.3, -0.2])
    target = (line.roll(1, dims=-1) + 0.2 * cloud.points()[:count].cos()).requires_grad_()
    assert gradcheck(lambda goal: align(line, goal).apply(line), (target,), fast_mode=True)


def test_a_matrix_of_rank_one_turns_its_one_direction() -> None:
    matrix, change = torch.diag(torch.tensor([1.0, 0.0, 0.0])).double(), torch.zeros(3, 3).double()
    change[1, 0] = 1.0
    _, turned = torch.func.jvp(lambda m: nearest_rotation(m)[:, 0], (matrix,), (change,))
    assert_close(turned, torch.tensor([0.0, 1.0, 0.0]).double(), atol=ROUND_OFF)


@given(spread_clouds(), poses, weights, numbers(-18.0, 18.0))
def test_the_scale_of_the_weights_does_not_matter(
    cloud: Cloud, pose: Pose, drawn: tuple[float, ...], exponent: float
) -> None:
    points = cloud.points().float()
    target = (points.double() @ pose.rotation().mT + 0.1 * points.double().cos()).float()
    trust = torch.tensor(drawn).repeat(len(points))[: len(points)]
    found = align_similarity(points, target, weights=10**exponent * trust)
    expected = align_similarity(points, target, weights=trust)
    assert_close(found.rotation, expected.rotation, atol=1e-4)
    assert_close(found.translation, expected.translation, atol=1e-4)


@given(spread_clouds(), poses, numbers(-1e6, 1e6))
def test_far_from_the_origin_only_the_rounding_of_the_points_counts(
    cloud: Cloud, pose: Pose, shift: float
) -> None:
    source = (cloud.points() + shift).float()
    target = (cloud.points() @ pose.rotation().mT).float()
    single, double = align_rigid(source, target), align_rigid(source.double(), target.double())
    assert_close(single.rotation.double(), double.rotation, atol=torch.finfo(torch.float32).eps)
    moved = single.rotation.double() @ source.double().mean(dim=0) + single.translation.double()
    allowed = 2 * torch.finfo(torch.float32).eps * (abs(shift) + 10.0)
    assert_close(moved, target.double().mean(dim=0), atol=allowed)


@pytest.mark.rejects
def test_both_sets_have_as_many_points() -> None:
    with pytest.raises(ValueError, match="`target` must have as many points as `source`"):
        align_rigid(torch.ones(4, 3), torch.ones(5, 3))


@pytest.mark.rejects
def test_leading_axes_that_do_not_fit_are_named() -> None:
    one, other = torch.ones(2, 4, 3), torch.ones(3, 4)
    with pytest.raises(ValueError, match=r"`source` \(2\), `target` \(2\), `weights` \(3\)"):
        align_rigid(one, one, weights=other)


@pytest.mark.rejects
@pytest.mark.parametrize("weights", [torch.ones(5), torch.ones(4, dtype=torch.int64)])
def test_weights_are_numbers_one_for_each_pair(weights: Tensor) -> None:
    with pytest.raises(ValueError, match="`weights` must have"):
        align_rigid(torch.ones(4, 3), torch.ones(4, 3), weights=weights)


@pytest.mark.rejects
def test_a_rotation_is_three_by_three() -> None:
    with pytest.raises(ValueError, match=r"`matrix` must have shape \(\.\.\., 3, 3\)"):
        nearest_rotation(torch.ones(4, 4))


def _moved(source: Tensor, target: Tensor, trust: Tensor) -> Tensor:
    return align_similarity(source, target, weights=trust).apply(source)
