"""Laws of the unpickler that runs nothing."""

import pickle
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsup_lifting.parse.npz import load_npz
from selfsup_lifting.parse.safe_pickle import unpickle
from selfsup_lifting.read_errors import ReadError

HERE = Path("here.npz")
protocols = st.integers(0, pickle.HIGHEST_PROTOCOL)
plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inside: (
        st.lists(inside) | st.dictionaries(st.text(), inside) | st.tuples(inside, inside)
    ),
    max_leaves=8,
)


@given(plain, protocols)
def test_plain_values_come_back(value: object, protocol: int) -> None:
    assert unpickle(pickle.dumps(value, protocol=protocol), HERE) == value


@given(protocols, st.sampled_from(["<f8", "<f4", "<i8", "|u1"]), st.integers(0, 5))
def test_arrays_and_their_scalars_come_back(protocol: int, dtype: str, rows: int) -> None:
    array = np.arange(rows * 3).reshape(rows, 3).astype(dtype)
    value = {"array": array, "column": np.asfortranarray(array), "one": np.float64(0.5)}
    back = unpickle(pickle.dumps(value, protocol=protocol), HERE)
    np.testing.assert_array_equal(back["array"], array)
    np.testing.assert_array_equal(back["column"], array)
    assert back["array"].dtype == array.dtype
    assert back["one"] == 0.5


def test_pickles_of_older_numpy_come_back() -> None:
    content = pickle.dumps(np.arange(3.0), protocol=2)
    older = content.replace(b"cnumpy._core.multiarray", b"cnumpy.core.multiarray")
    np.testing.assert_array_equal(unpickle(older, HERE), np.arange(3.0))


def test_arrays_of_objects_in_an_npz_come_back(tmp_path: Path) -> None:
    several = np.empty(2, dtype=object)
    several[:] = [{"a": 1}, [2]]
    np.savez(
        tmp_path / "x.npz", one=np.array({"a": np.arange(2)}), several=several, plain=np.eye(2)
    )
    read = load_npz(tmp_path / "x.npz")
    np.testing.assert_array_equal(read["one"]["a"], np.arange(2))
    assert read["several"] == [{"a": 1}, [2]]
    np.testing.assert_array_equal(read["plain"], np.eye(2))


@pytest.mark.rejects
@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(print),
        pickle.dumps(OrderedDict()),
        pickle.dumps(Path),
        b"cos\nsystem\n(S'true'\ntR.",
        b"cbuiltins\neval\n(S'1/0'\ntR.",
        b"cnumpy\nndarray\n((I3\nttR.",
        b"c_codecs\nencode\n(S'x'\nS'zip'\ntR.",
        b"cnumpy._core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I99999999999999\ntS'b'\ntR.",
        b"cnumpy._core.multiarray\nscalar\n(cnumpy\ndtype\n(S'O'\ntRS'x'\ntR.",
        b"",
        b"not a pickle",
        pickle.dumps([1, 2, 3])[:-3],
    ],
)
def test_nothing_else_is_built_or_run(content: bytes) -> None:
    with pytest.raises(ReadError, match=r"here\.npz: its pickle is damaged, or could run code"):
        unpickle(content, HERE)
