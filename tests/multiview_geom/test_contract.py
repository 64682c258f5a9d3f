"""What every public function promises, over the list of public names.

A public name is either in CASES, with arguments built from a drawn scene, or in EXEMPT, with the
reason. A new function that is in neither fails `test_every_public_name_is_under_contract`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from inspect import signature

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

import multiview_geom as mg
from tests.multiview_geom.strategies import UP, Cloud, Ring, Sightings, sightings
from tests.profiles import at_most

Arguments = dict[str, Tensor]

SIMPLEX = torch.cat([torch.eye(3, dtype=torch.float64), torch.zeros(1, 3, dtype=torch.float64)])
LENS = (-0.1, 0.03, 1e-3, -2e-3, 0.0, 0.01, 0.002, 0.0, 1e-3, 0.0, -1e-3, 0.0, 0.01, -0.02)
FISHEYE = (0.05, -0.01, 0.002, -0.0003)


@dataclass(frozen=True)
class Case:
    """A public function and how to call it on a scene; every argument is a float64 tensor.

    Attributes:
        name: The public name, and which of several cases it is.
        arguments: Builds the arguments, positional by order, from a drawn scene.
        call: What to call; the public function itself unless it needs keywords.
        differentiable: Whether a gradient exists.
        twice: Whether the second derivative exists.
    """

    name: str
    arguments: Callable[[Sightings], Arguments]
    call: Callable[..., object] | None = None
    differentiable: bool = True
    twice: bool = True

    def __call__(self, *arguments: Tensor) -> tuple[Tensor, ...]:
        result = (self.call or getattr(mg, self.name))(*arguments)
        return tuple(_tensors(result))


def _tensors(result: object) -> Iterator[Tensor]:
    """Walk through what a function returned: a tensor, a tuple, or a dataclass of tensors."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, tuple):
        for item in result:
            yield from _tensors(item)
    else:
        for item in vars(result).values():
            yield from _tensors(item)


def _pair(scene: Sightings) -> Arguments:
    """Two point sets, one a moved and noisy copy of the other, and weights."""
    points = torch.cat([SIMPLEX, scene.cloud.points()])
    noise = 0.01 * points.cos()
    weights = 0.5 + points[:, 0].square()
    return {"source": points, "target": points.roll(1, dims=-1) + noise, "weights": weights}


def _copies(scene: Sightings) -> Arguments:
    """Three point sets, noisy copies of one shape, and weights."""
    points = torch.cat([SIMPLEX, scene.cloud.points()[:1]])
    sets = torch.stack([points, points.roll(1, dims=-1) + 0.1 * points.cos(), 2 * points + 1])
    return {"sets": sets, "weights": 0.5 + sets[..., 0].square()}


def _views(scene: Sightings) -> Arguments:
    return {
        "projections": scene.projections(),
        "pixels": scene.pixels(),
        "weights": scene.trust(),
    }


def _residuals(scene: Sightings) -> Arguments:
    """Points and pixels well off their projections: at zero distance there is no slope."""
    return {
        "projections": scene.projections(),
        "points": scene.cloud.points(),
        "pixels": scene.pixels() + 10.0,
    }


def _lenses(scene: Sightings, coefficients: tuple[float, ...]) -> Arguments:
    """Pixels near the center of lenses that do not fold."""
    intrinsics = scene.rig.cameras().intrinsics
    distortion = torch.tensor(coefficients, dtype=torch.float64)
    pixels = intrinsics[:, None, :2, 2] + 100 * scene.noise[0] + 0.3 * scene.pixels()
    return {
        "intrinsics": intrinsics,
        "distortion": distortion.expand(intrinsics.shape[0], -1).clone(),
        "pixels": pixels,
    }


def _few_views_of_a_rig(scene: Sightings) -> Arguments:
    """Two views of one point: finite differences of an optimization take their time."""
    cameras = scene.rig.cameras()
    return {
        "intrinsics": cameras.intrinsics[:2],
        "camera_from_world": cameras.camera_from_world[:2],
        "points": scene.cloud.points()[:1],
        "pixels": scene.pixels()[:2, :1],
        "weights": scene.trust()[:2, :1],
    }


def _seen_by_one_camera(scene: Sightings) -> Arguments:
    """Six corners of a box and a drawn point, in front of one camera."""
    cameras = scene.rig.cameras()
    corners = torch.cartesian_prod(*[torch.tensor([-0.5, 0.5]).double()] * 3)[1:7]
    points = torch.cat([corners, scene.cloud.points()[:1]])
    pixels = mg.project_points(cameras.projections[:1], points)[0]
    return {
        "intrinsics": cameras.intrinsics[0],
        "points": points,
        "pixels": pixels + scene.noise[0] * points[:, :2].cos(),
        "weights": 0.5 + points[:, 0].square(),
    }


def _similarity(scene: Sightings) -> Arguments:
    return {
        "rotation": _poses(scene)["target"][:3, :3],
        "translation": _poses(scene)["target"][:3, 3],
        "scale": torch.tensor(1.5, dtype=torch.float64),
        "points": scene.cloud.points(),
    }


def _rig(lens: mg.Lens | None, scene: Sightings) -> Arguments:
    """A rig, with lenses or without, and points in front of it."""
    cameras = scene.rig.cameras()
    arguments = {
        "intrinsics": cameras.intrinsics,
        "camera_from_world": cameras.camera_from_world,
        "points": scene.cloud.points(),
    }
    if lens is None:
        return arguments
    coefficients = torch.tensor(LENS[:5] if lens is mg.Lens.OPENCV else FISHEYE).double()
    return {**arguments, "distortion": coefficients.repeat(cameras.views, 1)}


def _filmed(
    lens: mg.Lens | None,
    K: Tensor,
    pose: Tensor,
    points: Tensor,
    coefficients: Tensor | None = None,
) -> tuple[Tensor, ...]:
    return mg.Cameras(K, pose, coefficients, lens=lens or mg.Lens.OPENCV).project(points)


def _matrices(scene: Sightings) -> Arguments:
    """Well-conditioned symmetric matrices with a gap below."""
    spread = torch.diag(torch.arange(1.0, 5.0, dtype=torch.float64))
    tilt = 0.1 * torch.ones(4, 4, dtype=torch.float64)
    return {"symmetric": scene.cloud.points()[:, 0, None, None] * tilt + spread}


def _poses(scene: Sightings) -> Arguments:
    transforms = scene.rig.cameras().camera_from_world
    return {"target": transforms[0], "source": transforms[1]}


def _first_and_second(matrices: Tensor) -> Arguments:
    return {"first": matrices[0], "second": matrices[1]}


def _fundamental(scene: Sightings) -> Arguments:
    """The matrix of two views in units of a thousand pixels: its entries are of similar size."""
    projections = torch.tensor([1e-3, 1e-3, 1.0]).double().diag() @ scene.projections()
    return {"fundamental": mg.fundamental_from_projections(projections[0], projections[1])}


def _turns(scene: Sightings) -> Tensor:
    """Rotations by less than a quarter turn: off the rotations, other quaternions are others."""
    return mg.rotation_from_vector(0.5 * scene.cloud.points())


CASES = [
    Case("to_homogeneous", lambda s: {"points": s.cloud.points()}),
    Case("from_homogeneous", lambda s: {"points": s.pixels()}),
    Case(
        "rigid_transform",
        lambda s: {
            "rotation": s.rig.cameras().camera_from_world[:, :3, :3],
            "translation": s.rig.cameras().camera_from_world[:, :3, 3],
        },
    ),
    Case(
        "rotation_from_quaternion",
        lambda s: {"quaternion": 1 + s.cloud.points().repeat(1, 2)[:, :4]},
    ),
    Case("rotation_from_vector", lambda s: {"vector": s.cloud.points()}),
    Case("rotation_to_quaternion", lambda s: {"rotation": _turns(s)}),
    Case("rotation_to_vector", lambda s: {"rotation": _turns(s)}),
    Case("invert_transform", lambda s: {"b_from_a": s.rig.cameras().camera_from_world}),
    Case("relative_transform", _poses),
    Case(
        "transform_points",
        lambda s: {"b_from_a": _poses(s)["target"], "points": s.cloud.points()},
    ),
    Case(
        "world_to_camera",
        lambda s: {"rig": s.rig.cameras().camera_from_world, "points": s.cloud.points()},
    ),
    Case(
        "camera_to_world",
        lambda s: {"pose": _poses(s)["target"], "points": s.cloud.points()},
    ),
    Case("camera_to_camera", lambda s: {**_poses(s), "points": s.cloud.points()}),
    Case(
        "Similarity",
        _similarity,
        lambda R, t, scale, X: mg.Similarity(R, t, scale).apply(X),
    ),
    *[
        Case(f"Cameras {lens}", partial(_rig, lens), partial(_filmed, lens))
        for lens in (None, *mg.Lens)
    ],
    Case(
        "Cameras rays",
        lambda s: {**_lenses(s, LENS), "camera_from_world": s.rig.cameras().camera_from_world},
        lambda K, lens, x, pose: mg.Cameras(K, pose, lens).rays(x)[1:],
    ),
    Case(
        "look_at",
        lambda s: {
            "position": s.rig.cameras().centers,
            "target": 0 * s.rig.cameras().centers,
            "up": UP.expand_as(s.rig.cameras().centers),
        },
    ),
    Case(
        "project_points",
        lambda s: {"projections": s.projections(), "points": s.cloud.points()},
    ),
    Case(
        "point_depths",
        lambda s: {"projections": s.projections(), "points": s.cloud.points()},
    ),
    Case(
        "in_front",
        lambda s: {"projections": s.projections(), "points": s.cloud.points()},
        differentiable=False,
    ),
    Case("decompose_projections", lambda s: {"projections": s.projections()}),
    Case("reprojection_error", _residuals),
    Case(
        "triangulation_angle",
        # Two views: with more, equal angles make the largest a kink.
        lambda s: {"centers": s.rig.cameras().centers[:2], "points": s.cloud.points()},
    ),
    Case("distort_pixels", lambda s: _lenses(s, LENS)),
    Case("undistort_pixels", lambda s: _lenses(s, LENS)),
    Case("distort_fisheye_pixels", lambda s: _lenses(s, FISHEYE)),
    Case("undistort_fisheye_pixels", lambda s: _lenses(s, FISHEYE)),
    Case("unproject_fisheye_pixels", lambda s: _lenses(s, FISHEYE)),
    Case(
        "project_fisheye_camera_points",
        lambda s: {
            **_lenses(s, FISHEYE),
            "pixels": mg.world_to_camera(s.rig.cameras().camera_from_world, s.cloud.points()),
        },
    ),
    Case(
        "triangulate_dlt",
        _views,
        lambda P, x, w: mg.triangulate_dlt(P, x, weights=w),
    ),
    Case(
        "triangulate_iterative",
        _views,
        lambda P, x, w: mg.triangulate_iterative(P, x, weights=w, steps=1),
    ),
    Case(
        "triangulate_midpoint",
        _views,
        lambda P, x, w: mg.triangulate_midpoint(P, x, weights=w),
    ),
    Case(
        "triangulate_robust",
        _views,
        # Without the residuals, which are under contract as `reprojection_error`, and with a
        # threshold far above the noise of drawn scenes: no sighting is at its switch.
        lambda P, x, w: mg.triangulate_robust(P, x, weights=w, threshold=50.0)[:2],
    ),
    Case(
        "triangulate_two_view",
        lambda s: {name: argument[:2] for name, argument in _views(s).items()},
        lambda P, x, w: mg.triangulate_two_view(P, x, weights=w),
    ),
    Case(
        "point_covariance",
        lambda s: {
            "projections": s.projections(),
            "points": s.cloud.points(),
            "weights": s.trust(),
        },
        lambda P, X, w: mg.point_covariance(P, X, sigma=2.0, weights=w),
    ),
    Case("fundamental_from_projections", lambda s: _first_and_second(s.projections())),
    Case(
        "essential_from_transforms",
        lambda s: _first_and_second(s.rig.cameras().camera_from_world),
    ),
    Case("epipolar_lines", lambda s: {**_fundamental(s), "pixels": s.pixels()[0]}),
    Case(
        "sampson_distance",
        lambda s: {**_fundamental(s), "pixels": s.pixels()[0], "other_pixels": s.pixels()[1] + 5.0},
    ),
    Case(
        "solve_pnp",
        _seen_by_one_camera,
        lambda K, X, x, w: mg.solve_pnp(K, X, x, weights=w),
        differentiable=False,
    ),
    Case(
        "refine_points",
        _few_views_of_a_rig,
        lambda K, E, X, x, w: mg.refine_points(mg.Cameras(K, E), X, x, weights=w, steps=6),
    ),
    Case(
        "smallest_eigenvector",
        _matrices,
        lambda S: mg.smallest_eigenvector((S + S.mT) / 2),
    ),
    Case(
        "nearest_rotation",
        lambda s: {"matrix": s.rig.cameras().camera_from_world[:, :3, :3] + 0.1},
    ),
    Case(
        "generalized_procrustes",
        _copies,
        lambda sets, w: mg.generalized_procrustes(sets, weights=w, steps=2)[:2],
    ),
    Case("align_rigid", _pair, lambda a, b, w: mg.align_rigid(a, b, weights=w)),
    Case("align_similarity", _pair, lambda a, b, w: mg.align_similarity(a, b, weights=w)),
]

EXEMPT = {
    "CalibratedRig": "a record",
    "calibrate_extrinsics": "an optimization without a gradient; its laws are in calibration",
    "BundleAdjustment": "a record",
    "CameraParameter": "an enumeration",
    "BoneLengths": "a dataclass; its laws are in bundle_adjustment",
    "SmoothMotion": "a dataclass; its laws are in bundle_adjustment",
    "bundle_adjust": "an optimization without a gradient; its laws are in bundle_adjustment",
    "calibrate_focal_lengths": "an optimization without a gradient; its laws are in calibration",
    "refine_calibration": "an optimization without a gradient; its laws are in calibration",
    "align_rigs": "takes rigs, not tensors; its laws are in bundle_adjustment",
    "transform_cameras": "takes rigs, not tensors; its laws are in bundle_adjustment",
    "GeneralizedAlignment": "a record",
    "CauchyLoss": "a dataclass; its laws are in test_residual_losses",
    "HuberLoss": "a dataclass; its laws are in test_residual_losses",
    "LinearLoss": "a dataclass; its laws are in test_residual_losses",
    "RefinedPoints": "a record",
    "RelativePose": "a record",
    "relative_pose": "runs kornia's solver, without a gradient; its laws are in test_five_point",
    "ProjectedPoints": "a record",
    "RobustPoints": "a record",
    "triangulate_dlt_svd": "the plain version to compare with: its gradient is LAPACK's",
    "CameraFile": "a record",
    "ColmapCameras": "a record of another library's arguments",
    "KorniaCameras": "a record of another library's arguments",
    "OpenGLCameras": "a record of another library's arguments",
    "PyTorch3DCameras": "a record of another library's arguments",
    "from_colmap": "converts rigs, not tensors; its laws are in test_conventions",
    "from_kornia": "converts rigs, not tensors; its laws are in test_conventions",
    "from_opengl": "converts rigs, not tensors; its laws are in test_conventions",
    "from_pytorch3d": "converts rigs, not tensors; its laws are in test_conventions",
    "to_colmap": "converts rigs, not tensors; its laws are in test_conventions",
    "to_kornia": "converts rigs, not tensors; its laws are in test_conventions",
    "to_opengl": "converts rigs, not tensors; its laws are in test_conventions",
    "to_pytorch3d": "converts rigs, not tensors; its laws are in test_conventions",
    "CameraSummary": "a record",
    "CameraIssue": "a record",
    "CameraIssueKind": "an enumeration",
    "check_cameras": "looks at numbers, for a person; its laws are in test_rig_checks",
    "summarize_cameras": "tells numbers to a person; its laws are in test_rig_checks",
    "CameraFileError": "an error",
    "CameraFormat": "a record of functions on files",
    "CameraRecord": "a record",
    "FilePlace": "a record",
    "CameraSource": "a file; its laws are in test_camera_files",
    "ValidDirections": "a record",
    "Lens": "an enumeration",
    "ViewingRays": "a record",
    "ValidPixels": "a record",
    "read_camera_file": "reads files; its laws are in test_camera_files",
    "load_cameras": "reads files; its laws are in test_camera_files",
    "save_cameras": "writes files; its laws are in test_camera_files",
    "ring_of_cameras": "takes numbers, not tensors",
}


def _nested(argument: Tensor) -> Tensor:
    return torch.nested.as_nested_tensor([argument, argument], layout=torch.jagged)


WRONG: dict[str, tuple[Callable[[Tensor], object], str]] = {
    "NumPy": (Tensor.numpy, "`{}` must be a tensor, got numpy.ndarray: convert it"),
    "sparse": (Tensor.to_sparse, "`{}` must be a dense tensor, got one of layout torch.sparse_coo"),
    "nested": (_nested, "`{}` must be a dense tensor, got a nested one: fill it with NaN by"),
    "integers": (Tensor.long, "`{}` must have (a floating dtype|the dtype of)"),
    "no axes": (lambda argument: argument.new_zeros(()), "`{}` must have shape"),
}
NOT_WRONG = {
    *(("scale", wrong) for wrong in ("no axes", "nested")),
    *(("symmetric", wrong) for wrong in ("integers", "no axes")),
}
"""A scale may be one number; the case of the second divides by two before the function sees it."""

every_case = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
differentiable = pytest.mark.parametrize(
    "case", [case for case in CASES if case.differentiable], ids=lambda case: case.name
)
NOT_POINTWISE = {"to_homogeneous", "refine_points", "reprojection_error"}
"""One appends a one to NaN; the case of the second has one point, and the third has two names."""
POINTWISE = [
    case
    for case in CASES
    if case.differentiable
    and case.name not in NOT_POINTWISE
    and case.arguments(Sightings()).keys() & {"points", "pixels"}
]
OWN_GRADIENT_MAY_BE_NAN = {"nearest_rotation", "smallest_eigenvector"}
"""Functions of one argument, of which each element is a result of its own."""
SCENE = Sightings(
    Ring(views=3), Cloud(((0.1, 0.2, 0.3), (-0.4, 0.5, 0.1))), noise=(0.3, -0.7, 0.5, 0.2, -0.1)
)


def test_every_public_name_is_under_contract() -> None:
    public = {name for name in vars(mg) if not name.startswith("_") and _is_public(name)}
    assert public == {case.name.split()[0] for case in CASES} | EXEMPT.keys()


def _is_public(name: str) -> bool:
    return callable(getattr(mg, name))


@every_case
@given(scene=sightings)
def test_a_batch_is_a_loop(case: Case, scene: Sightings) -> None:
    single = tuple(case.arguments(scene).values())
    for one, stacked in zip(case(*single), case(*_stacked(single)), strict=True):
        torch.testing.assert_close(stacked, torch.stack([one, one]), equal_nan=True)


@every_case
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_the_dtype_is_kept(case: Case, dtype: torch.dtype) -> None:
    for result in case(*(argument.to(dtype) for argument in case.arguments(SCENE).values())):
        assert result.dtype in {dtype, torch.bool}


@every_case
@given(scene=sightings)
def test_inputs_are_left_alone(case: Case, scene: Sightings) -> None:
    arguments = tuple(case.arguments(scene).values())
    before = [argument.clone() for argument in arguments]
    case(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(arguments, before, strict=True))


@pytest.mark.rejects
@pytest.mark.parametrize("wrong", WRONG)
@every_case
def test_an_argument_of_the_wrong_kind_is_named(case: Case, wrong: str) -> None:
    arguments, (spoil, said) = case.arguments(SCENE), WRONG[wrong]
    for key, name in zip(arguments, _parameters(case, arguments), strict=True):
        if (key, wrong) not in NOT_WRONG:
            with pytest.raises(ValueError, match=said.format(name)):
                case(*{**arguments, key: spoil(arguments[key])}.values())


def _parameters(case: Case, arguments: Arguments) -> list[str]:
    """Return the names of the arguments in the signature of the public function."""
    if case.call:
        return [*arguments]
    return [*signature(getattr(mg, case.name)).parameters][: len(arguments)]


@pytest.mark.rejects
@every_case
def test_cameras_are_not_projections(case: Case) -> None:
    rig = SCENE.rig.cameras()
    if case.name.startswith("triangulate_"):
        return  # these take cameras
    for name in case.arguments(SCENE).keys() & {"projections"}:
        mixed = {**case.arguments(SCENE), name: rig}
        with pytest.raises(ValueError, match=r"got Cameras: pass its `\.projections`"):
            case(*mixed.values())


TAKES_CAMERAS: dict[str, tuple[object, ...]] = {
    "bundle_adjust": (torch.zeros(3, 3, 2),),
    "calibrate_extrinsics": (torch.zeros(3, 3, 2),),
    "calibrate_focal_lengths": (torch.zeros(3, 3, 2),),
    "refine_calibration": (torch.zeros(3, 3, 2),),
    "to_opengl": (0.1, 9.0),
    "to_pytorch3d": (),
    "to_colmap": (),
    "to_kornia": (),
}
"""Functions that are not called on tensors above, and what they take after the cameras."""


@pytest.mark.rejects
@pytest.mark.parametrize("name", TAKES_CAMERAS)
def test_a_tensor_is_not_cameras(name: str) -> None:
    with pytest.raises(ValueError, match="`cameras` must be Cameras, got Tensor: Cameras"):
        getattr(mg, name)(torch.zeros(3, 3, 4), *TAKES_CAMERAS[name])


RIG = mg.ring_of_cameras(3, radius=4.0, height=1.0)
SEEN = RIG.project(torch.rand(9, 3) - 0.5).pixels
WRONG_SETTINGS: dict[str, tuple[Callable[..., object], tuple[object, ...]]] = {
    "steps": (partial(mg.triangulate_iterative, RIG, SEEN), ("x", None, 2.5, torch.nan, [1])),
    "threshold": (partial(mg.triangulate_robust, RIG, SEEN), ("x", None, torch.ones(2), RIG, 0)),
    "max_pairs": (
        partial(mg.triangulate_robust, RIG, SEEN, threshold=1.0), (1e30, None, torch.inf),
    ),
    "sigma": (partial(mg.point_covariance, RIG.projections, torch.rand(9, 3)), (torch.nan, "x")),
    "samples": (
        partial(mg.relative_pose, RIG.intrinsics[:2], SEEN[:2], threshold=1.0), (1.5, None),
    ),
    "generator": (
        partial(mg.relative_pose, RIG.intrinsics[:2], SEEN[:2], threshold=1.0),
        (3, "x", np.random.default_rng(0)),
    ),
    "dtype": (
        partial(mg.ring_of_cameras, 3, 4.0, 1.0), ("float32", np.float32, float, 3, torch.int64),
    ),
    "align": (partial(mg.generalized_procrustes, torch.rand(3, 9, 3)), (None, "rigid")),
    "factors": (partial(mg.calibrate_focal_lengths, RIG, SEEN), (1.5, None, "x", ["x"])),
    "free": (partial(mg.refine_calibration, RIG, SEEN), (None, 3, "focal")),
    "coefficients": (partial(mg.bundle_adjust, RIG, SEEN), ("x", 1, [0.5])),
    "priors": (partial(mg.bundle_adjust, RIG, SEEN), (None, [3], "x")),
    "focal_length": (partial(mg.ring_of_cameras, 3, 4.0, 1.0), (0.0, "x", None)),
    "height": (partial(mg.ring_of_cameras, 3, 4.0), ("x", None)),
    "image_size": (partial(mg.ring_of_cameras, 3, 4.0, 1.0), (1000, (1000,), "xy")),
    "near": (partial(mg.to_opengl, RIG, far=9.0), ("x", 0.0)),
    "far": (partial(mg.to_opengl, RIG, 0.5), ("x", 0.5)),
    "matrices": (partial(mg.from_opengl, image_size=RIG.image_size), (None, RIG, (1,))),
    "arguments": (mg.from_pytorch3d, (None, 3.0, (1, 2))),
    "similarity": (partial(mg.transform_cameras, RIG), (None, torch.eye(4))),
    "names": (partial(mg.Cameras, RIG.intrinsics, RIG.camera_from_world), (3, "abc", [1, 2, 3])),
    "views": (RIG.select, (None, 1, 2.5, [0.5])),
    "factor": (RIG.scaled, ("x", None, [2.0])),
    "format": (partial(mg.read_camera_file, "rig.toml"), ([], RIG)),
}  # fmt: skip
"""Settings of a wrong kind: the function, and what it must refuse by the name of the setting."""


@pytest.mark.rejects
@pytest.mark.parametrize("name", WRONG_SETTINGS)
def test_a_setting_of_the_wrong_kind_is_named(name: str) -> None:
    function, wrong = WRONG_SETTINGS[name]
    for value in wrong:
        with pytest.raises(ValueError, match=f"`{name}` "):
            function(**{name: value})


@pytest.mark.rejects  # by the annotations, which say int and float
def test_settings_may_be_numbers_of_numpy() -> None:
    sixth, two = np.float32(1 / 6), np.int64(2)
    assert_close(
        mg.triangulate_iterative(RIG, SEEN, steps=two), mg.triangulate_iterative(RIG, SEEN, steps=2)
    )
    assert mg.triangulate_robust(RIG, SEEN, threshold=sixth, max_pairs=two).inliers.all()
    assert mg.ring_of_cameras(two, sixth, sixth, image_size=(two, two)).views == two


@every_case
def test_autocast_changes_nothing(case: Case) -> None:
    arguments = tuple(argument.float() for argument in case.arguments(SCENE).values())
    expected = case(*arguments)
    with torch.autocast("cpu", torch.bfloat16):
        found = case(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@differentiable
@at_most(3)
@given(scene=sightings)
def test_the_gradient_is_the_slope(case: Case, scene: Sightings) -> None:
    assert gradcheck(_floating(case), _leaves(case, scene), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.differentiable and case.twice], ids=lambda c: c.name
)
def test_the_second_derivative_is_the_slope_of_the_gradient(case: Case) -> None:
    assert gradgradcheck(_floating(case), _leaves(case, SCENE), atol=1e-4, rtol=1e-4)


@differentiable
def test_nan_in_one_element_leaves_its_neighbour_finite(case: Case) -> None:
    arguments = _stacked(tuple(case.arguments(SCENE).values()))
    spoilt = [argument.index_fill(0, torch.tensor([0]), torch.nan) for argument in arguments]
    leaves = [argument.detach().requires_grad_() for argument in spoilt]
    sum(result[1].sum() for result in _floating(case)(*leaves)).backward()
    assert all(leaf.grad is None or leaf.grad[1].isfinite().all() for leaf in leaves)


@pytest.mark.parametrize("case", POINTWISE, ids=lambda case: case.name)
def test_a_missing_point_is_nan_alone_and_passes_nothing(case: Case) -> None:
    arguments = case.arguments(SCENE)
    (name,) = arguments.keys() & {"points", "pixels"} or {"points"}
    spoilt = arguments[name].clone()
    spoilt[..., 0, :] = torch.nan
    leaves = {
        other: argument.detach().clone().requires_grad_()
        for other, argument in {**arguments, name: spoilt}.items()
    }
    found = _floating(case)(*leaves.values())
    for actual, expected in zip(found, _floating(case)(*arguments.values()), strict=True):
        known = ~actual.isnan()
        assert known.sum() * spoilt.shape[-2] == known.numel() * (spoilt.shape[-2] - 1)
        torch.testing.assert_close(actual[known], expected[known])
    sum(result[~result.isnan()].cos().sum() for result in found).backward()
    assert all(leaf.grad.isfinite().all() for leaf in leaves.values() if leaf.grad is not None)
    assert not leaves[name].grad[..., 0, :].any()


@differentiable
def test_nan_in_one_element_does_not_reach_what_all_elements_share(case: Case) -> None:
    arguments = case.arguments(SCENE)
    for name, argument in arguments.items():
        batch = torch.stack([torch.full_like(argument, torch.nan), argument])
        leaves = {
            other: shared.detach().clone().requires_grad_()
            for other, shared in {**arguments, name: batch}.items()
        }
        found = _floating(case)(*leaves.values())
        sum(result[1].cos().sum() for result in found).backward()
        if case.name in OWN_GRADIENT_MAY_BE_NAN:
            leaves[name].grad[0] = 0.0
        for other, leaf in leaves.items():
            assert leaf.grad is None or leaf.grad.isfinite().all(), (name, other)


@every_case
def test_vmap_is_a_loop(case: Case) -> None:
    stacked = _stacked(tuple(case.arguments(SCENE).values()))
    for mapped, batched in zip(torch.func.vmap(case)(*stacked), case(*stacked), strict=True):
        torch.testing.assert_close(mapped, batched, equal_nan=True)


@every_case
def test_compiled_is_eager(case: Case) -> None:
    torch.compiler.reset()
    arguments = tuple(case.arguments(SCENE).values())
    compiled = torch.compile(case, fullgraph=True, backend="aot_eager")
    for actual, expected in zip(compiled(*arguments), case(*arguments), strict=True):
        torch.testing.assert_close(actual, expected, equal_nan=True)


def _stacked(arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(torch.stack([argument, argument]) for argument in arguments)


def _leaves(case: Case, scene: Sightings) -> tuple[Tensor, ...]:
    return tuple(
        argument.detach().clone().requires_grad_() for argument in case.arguments(scene).values()
    )


def _floating(case: Case) -> Callable[..., tuple[Tensor, ...]]:
    return lambda *arguments: tuple(
        result for result in case(*arguments) if result.is_floating_point()
    )
