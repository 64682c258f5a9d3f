"""Laws of the variables of a MATLAB file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.io import savemat
from scipy.sparse import csc_array
from torch import Tensor

from multiview_geom import CameraFileError, load_cameras
from multiview_geom.camera_files.matlab_file import matlab_variables
from tests.multiview_geom.camera_files.texts_of_tools import matlab_file

KINDS = ("i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
# Small elements stand in four bytes of their tag: one number, or a name of up to four letters.
names = st.text("abcXYZ", min_size=1, max_size=6)
matrices = st.builds(
    lambda kind, rows, columns, first: (first + np.arange(rows * columns, dtype=kind)).reshape(
        rows, columns
    ),
    st.sampled_from(KINDS),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(0, 100),
)
values = st.recursive(
    matrices | names,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(names, inner, min_size=1, max_size=3)
    ),
    max_leaves=4,
)


def as_saved(value: Any) -> Any:
    """Return a value as `savemat` takes it: a list as a cell."""
    if isinstance(value, dict):
        return {name: as_saved(one) for name, one in value.items()}
    if isinstance(value, list):
        cell = np.empty((1, len(value)), dtype=object)
        for at, one in enumerate(value):
            cell[0, at] = as_saved(one)
        return cell
    return value


def as_lists(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: as_lists(one) for name, one in value.items()}
    if isinstance(value, list):
        return [as_lists(one) for one in value]
    return value.tolist() if isinstance(value, Tensor | np.ndarray) else value


@example(variables={"each": [np.ones((1, 2), kind) for kind in KINDS]}, compressed=False)
@given(variables=st.dictionaries(names, values, min_size=1, max_size=3), compressed=st.booleans())
def test_what_scipy_saves_is_read(
    tmp_path_factory: pytest.TempPathFactory,
    variables: dict[str, Any],
    compressed: bool,  # noqa: FBT001 - drawn
) -> None:
    path = tmp_path_factory.mktemp("matlab") / "any.mat"
    content = {name: as_saved(value) for name, value in variables.items()}
    path.write_bytes(matlab_file(content, compressed=compressed))
    assert as_lists(matlab_variables(path)) == as_lists(variables)
    one = next(iter(variables))
    assert as_lists(matlab_variables(path, one)) == {one: as_lists(variables[one])}


def test_what_is_not_read_is_said(tmp_path: Path) -> None:
    several = np.zeros((1, 2), dtype=[("a", object)])
    savemat(tmp_path / "x.mat", {"several": several, "sparse": csc_array(np.eye(3))})
    told = {name: repr(value) for name, value in matlab_variables(tmp_path / "x.mat").items()}
    assert told == {
        "several": "an array of structures",
        "sparse": "a sparse matrix, not a full one",
    }
    with pytest.raises(CameraFileError, match="a MATLAB file with several, sparse"):
        load_cameras(tmp_path / "x.mat")


def test_a_variable_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "x.mat", {"p": np.eye(2), "q": np.eye(2)}, do_compression=False)
    content = (tmp_path / "x.mat").read_bytes()
    at = content.rindex(b"q\0\0\0")
    (tmp_path / "x.mat").write_bytes(content[:at] + b"p" + content[at + 1 :])
    with pytest.raises(CameraFileError, match="a damaged one: `p` is there twice"):
        matlab_variables(tmp_path / "x.mat")


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (np.eye(3) * 1j, "complex numbers"),
        (np.eye(3) > 0, "true and false, not numbers"),
        ("K", "K"),
    ],
)
def test_a_matrix_of_another_kind_is_named(tmp_path: Path, value: object, what: str) -> None:
    numbers = {"r": np.eye(3), "t": np.ones((1, 3)), "RDistort": np.zeros((1, 2))}
    savemat(tmp_path / "a_params.mat", {"K": value, **numbers, "TDistort": np.zeros((1, 2))})
    with pytest.raises(CameraFileError, match=f"`K`: expected a matrix of numbers, got {what}"):
        load_cameras(tmp_path / "a_params.mat")


def test_a_number_where_a_text_belongs_is_shown(tmp_path: Path) -> None:
    camera = {"WorldUnits": np.ones((1, 1))}
    pair = {"CameraParameters1": camera, "CameraParameters2": camera}
    turned = {"RotationOfCamera2": np.eye(3), "TranslationOfCamera2": np.ones((1, 3))}
    savemat(tmp_path / "x.mat", {"p": pair | turned})
    with pytest.raises(CameraFileError, match=r"WorldUnits`: expected one of .*, got \[\[1\.0\]\]"):
        load_cameras(tmp_path / "x.mat")


def test_the_parameters_of_one_camera_are_no_pair(tmp_path: Path) -> None:
    camera = {"IntrinsicMatrix": np.eye(3), "RadialDistortion": np.zeros((1, 2))}
    savemat(tmp_path / "camera.mat", {"p": camera})
    with pytest.raises(CameraFileError, match=r"`CameraParameters1`, got one camera alone \(p\)"):
        load_cameras(tmp_path / "camera.mat")
