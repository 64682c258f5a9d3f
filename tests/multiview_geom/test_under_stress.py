"""Every public function under stress: wild numbers, odd tensors, odd modes, several threads.

The nightly profile draws 100,000 examples.
"""

import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from itertools import chain

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import multiview_geom as mg
from tests.multiview_geom.strategies import Sightings, sightings
from tests.multiview_geom.test_contract import (
    CASES,
    OWN_GRADIENT_MAY_BE_NAN,
    SCENE,
    Case,
    every_case,
)

EXAMPLES = {"nightly": 100_000, "shapes": 3}.get(os.environ.get("HYPOTHESIS_PROFILE", ""), 25)
# Points of any dimension, and a case that makes its matrix symmetric first.
ANY_LAST_AXIS = {
    "to_homogeneous", "from_homogeneous", "generalized_procrustes", "smallest_eigenvector",
}  # fmt: skip
# Shapes of matrices whose two sizes are fixed, and the names of axes in messages.
MATRICES = {(3, 3), (3, 4), (4, 4)}
AXES = {"views", "points", "d"}
# Three vectors of three views, which are no matrix.
VECTORS = {"translation", "position", "target", "up"}
# They keep the finite coordinates, or leave out what is not finite.
FINITE_OF_NAN = {
    "to_homogeneous", "rigid_transform", "Cameras", "generalized_procrustes", "align_rigid",
    "align_similarity",
}  # fmt: skip
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Wildness:
    """What happens to the numbers of one argument.

    Attributes:
        exponent: They are multiplied by this power of ten.
        shift: Then this is added, as for a world origin that is far away.
        equal: Whether all become the first one: cameras and points in one place, equal rows.
        spoilt: The first number becomes this one, if any.
    """

    exponent: int = 0
    shift: float = 0.0
    equal: bool = False
    spoilt: float | None = None

    def __call__(self, argument: Tensor) -> Tensor:
        wild = argument.double() * 10.0**self.exponent + self.shift
        if self.equal:
            wild = wild.flatten()[:1].expand(wild.numel()).reshape(wild.shape).clone()
        if self.spoilt is not None:
            wild.flatten()[0] = self.spoilt
        return wild.to(argument.dtype)


wildness = st.builds(
    Wildness,
    exponent=st.integers(-15, 15),
    shift=st.sampled_from([0.0, 0.0, 0.0, 1.0, -1.0, 1e6, -1e6]),
    equal=st.sampled_from([False, False, False, True]),
    spoilt=st.sampled_from([None, None, 0.0, torch.inf, -torch.inf, torch.nan, 5e-324]),
)
cases = st.sampled_from(CASES)


@settings(max_examples=EXAMPLES)
@given(cases, sightings, st.lists(wildness, min_size=5, max_size=5), st.sampled_from(DTYPES))
def test_wild_numbers_stay_where_they_are(
    case: Case, scene: Sightings, wild: list[Wildness], dtype: torch.dtype
) -> None:
    sound = [one.to(dtype) for one in case.arguments(scene).values()]
    pairs = zip(sound, wild, strict=False)
    stacked = [torch.stack([change(one), one]) for one, change in pairs]
    leaves = [one.requires_grad_(case.differentiable) for one in stacked]
    found, expected = case(*leaves), case(*(one.unsqueeze(0) for one in sound))
    for result, alone in zip(found, expected, strict=True):
        assert result.dtype in {dtype, torch.bool}
        torch.testing.assert_close(result[1:], alone, equal_nan=True)
    if case.differentiable:
        gradients = _gradients([result[1] for result in found], leaves)
        for gradient in gradients:
            assert gradient[1].isfinite().all(), "of an element that is sound"
            if dtype is torch.float64 and case.name not in OWN_GRADIENT_MAY_BE_NAN:
                assert not gradient[0].any(), "of an element that is not asked for"


@settings(max_examples=EXAMPLES)
@given(cases, sightings, st.lists(wildness, min_size=5, max_size=5))
def test_where_a_result_is_finite_its_gradient_is(
    case: Case, scene: Sightings, wild: list[Wildness]
) -> None:
    pairs = zip(case.arguments(scene).values(), wild, strict=False)
    leaves = [
        change(argument).requires_grad_(case.differentiable and change.spoilt is None)
        for argument, change in pairs
    ]
    found = case(*leaves)
    if all(change.spoilt is None for change in wild):
        assert not any(result.isinf().any() for result in found)
    if any(leaf.requires_grad for leaf in leaves):
        known = [result[result.isfinite()].clamp(-1, 1) for result in found]
        for gradient in _gradients(known, [leaf for leaf in leaves if leaf.requires_grad]):
            assert not gradient.isnan().any()


@settings(max_examples=EXAMPLES // 2)
@given(cases, sightings, st.lists(st.sampled_from(["strided", "reversed", "expanded"]), min_size=5))
def test_the_layout_in_memory_does_not_matter(
    case: Case, scene: Sightings, layouts: list[str]
) -> None:
    arguments = [torch.stack([one, one]) for one in case.arguments(scene).values()]
    laid = [_laid(one, layout) for one, layout in zip(arguments, layouts, strict=False)]
    for one, other in zip(case(*laid), case(*arguments), strict=True):
        torch.testing.assert_close(one, other, equal_nan=True)


def _laid(argument: Tensor, layout: str) -> Tensor:
    """Return equal numbers that lie in memory in another way."""
    if layout == "expanded":
        return argument[:1].expand(argument.shape)
    if layout == "strided":
        return torch.stack([argument, argument + 1], dim=-1)[..., 0]
    axes = tuple(reversed(range(argument.dim())))
    return argument.permute(axes).contiguous().permute(axes)


@settings(max_examples=EXAMPLES // 2)
@given(cases.filter(lambda case: case.differentiable), sightings, st.sets(st.integers(0, 4)))
def test_a_subset_of_the_arguments_may_have_a_gradient(
    case: Case, scene: Sightings, chosen: set[int]
) -> None:
    arguments = [*case.arguments(scene).values()]
    every = [one.clone().requires_grad_() for one in arguments]
    some = [one.clone().requires_grad_(at in chosen) for at, one in enumerate(arguments)]
    wanted = [at for at in chosen if at < len(arguments)]
    if not wanted:
        assert not any(result.requires_grad for result in case(*some))
        return
    expected = _gradients(case(*every), every)
    for at, gradient in zip(
        wanted, _gradients(case(*some), [some[at] for at in wanted]), strict=True
    ):
        torch.testing.assert_close(gradient, expected[at])


def _gradients(results: list[Tensor] | tuple[Tensor, ...], leaves: list[Tensor]) -> list[Tensor]:
    """Return the gradients of a sum of bounded functions of the results; zero where none."""
    total = sum((one.cos().sum() for one in results if one.requires_grad), torch.zeros(()))
    if not total.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(total, leaves, allow_unused=True)
    return [
        torch.zeros_like(leaf) if one is None else one
        for one, leaf in zip(found, leaves, strict=True)
    ]


@every_case
def test_an_empty_batch_has_empty_results(case: Case) -> None:
    arguments = [one.expand(0, *one.shape) for one in case.arguments(SCENE).values()]
    shapes = [result.shape for result in case(*case.arguments(SCENE).values())]
    assert [result.shape for result in case(*arguments)] == [(0, *shape) for shape in shapes]


@pytest.mark.rejects
@every_case
@pytest.mark.parametrize("other", [torch.float32, torch.half, torch.long, "meta"], ids=str)
def test_mixed_dtypes_and_devices_are_a_clear_error(case: Case, other: torch.dtype | str) -> None:
    # Half precision is computed in float32, where the two would be equal.
    dtype = torch.float32 if other is torch.half else torch.float64
    arguments = {name: one.to(dtype) for name, one in case.arguments(SCENE).items()}
    for name, argument in arguments.items():
        if argument.dim() == 0 and other == "meta":
            continue  # PyTorch takes one number from any device
        mixed = {**arguments, name: argument.to(other)}
        if len(mixed) > 1:
            with pytest.raises(ValueError, match=r"dtype|device") as refused:
                case(*mixed.values())
            assert {*re.findall(r"`(\w+)`", str(refused.value))} <= _arguments_of(case)


@pytest.mark.rejects
@every_case
def test_a_wrong_shape_is_refused_by_name(case: Case) -> None:
    if case.name in ANY_LAST_AXIS:
        return
    for name, argument in case.arguments(SCENE).items():
        wrong = [argument[..., :-1]] if argument.dim() else []
        wrong += [argument[..., :-1, :]] if _is_matrix(case, name, argument) else []
        for one in wrong if name != "distortion" else []:
            with pytest.raises(ValueError, match="must have shape") as refused:
                case(*{**case.arguments(SCENE), name: one}.values())
            words = {*re.findall(r"`(\w+)` must", str(refused.value))}
            axes = {*re.findall(r"[A-Za-z]\w*", str(refused.value).split("shape")[1])}
            assert words, refused.value
            assert words <= _arguments_of(case), refused.value
            assert axes - {"got"} <= AXES, refused.value


def _arguments_of(case: Case) -> set[str]:
    """Return the names of a public function's arguments, and those of the rig that it takes."""
    return {*signature(getattr(mg, case.name.split()[0])).parameters, *case.arguments(SCENE)}


def _is_matrix(case: Case, name: str, argument: Tensor) -> bool:
    is_vector = name in VECTORS and case.name in {"rigid_transform", "look_at"}
    return argument.shape[-2:] in MATRICES and not is_vector


@every_case
def test_nothing_finite_comes_of_nothing_finite(case: Case) -> None:
    if case.name.split()[0] in FINITE_OF_NAN:
        return
    for name, argument in case.arguments(SCENE).items():
        unknown = {**case.arguments(SCENE), name: torch.full_like(argument, torch.nan)}
        found = [one for one in case(*unknown.values()) if one.is_floating_point()]
        assert not any(one.isfinite().any() for one in found), name


@contextmanager
def deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=False)


@every_case
@pytest.mark.parametrize(
    "mode", [torch.inference_mode, torch.no_grad, deterministic], ids=lambda mode: mode.__name__
)
def test_modes_change_nothing(case: Case, mode: Callable[[], object]) -> None:
    expected = case(*case.arguments(SCENE).values())
    with mode():
        found = case(*case.arguments(SCENE).values())
    assert all(map(torch.equal, *(_without_nan(one) for one in (found, expected))))


def test_threads_do_not_disturb_each_other() -> None:
    expected = [_without_nan(case(*case.arguments(SCENE).values())) for case in CASES]
    with ThreadPoolExecutor(4) as threads:
        rounds = threads.map(lambda case: case(*case.arguments(SCENE).values()), CASES * 4)
        found = [_without_nan(one) for one in rounds]
    pairs = zip(chain(*found), chain(*(expected * 4)), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


def _without_nan(results: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(
        result.nan_to_num(7.0) if result.is_floating_point() else result for result in results
    )
