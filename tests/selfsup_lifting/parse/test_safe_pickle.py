"""Laws of the unpickler that runs nothing."""

import pickle
import re
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsup_lifting.parse.npz import load_npz
from selfsup_lifting.parse.safe_pickle import unpickle
from selfsup_lifting.read_errors import Place, ReadError

HERE = Place(Path("here.npz"))
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


@pytest.mark.parametrize("protocol", range(4, pickle.HIGHEST_PROTOCOL + 1))
def test_sets_and_keys_of_several_parts_come_back(protocol: int) -> None:
    value = {("scorer", 1): {2, 3}, "frozen": frozenset({("nose", "x")}), b"old": None, 0.5: set()}
    assert unpickle(pickle.dumps(value, protocol=protocol), HERE) == value


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
    read = load_npz(tmp_path / "x.npz", "one", "several", "plain")
    np.testing.assert_array_equal(read["one"]["a"], np.arange(2))
    assert read["several"] == [{"a": 1}, [2]]
    np.testing.assert_array_equal(read["plain"], np.eye(2))


def test_arrays_of_objects_keep_their_axes() -> None:
    square = np.empty((2, 3), dtype=object)
    square[:] = [["a", "b", "c"], ["d", "e", "f"]]
    assert unpickle(pickle.dumps(square), HERE) == square.tolist()


samples = st.sampled_from(
    [
        pickle.dumps(value, protocol=protocol)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1)
        for value in (
            {"S1": {"Walk": [np.zeros((3, 2), dtype=np.float32), np.float32(1)]}},
            np.array([{"a": np.arange(4.0)}, [1, (2, "x")]], dtype=object),
            [("scorer", "nose", "x")] * 3,
        )
    ]
)


@given(samples, st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), min_size=1))
def test_a_damaged_pickle_is_read_or_refused(
    content: bytes, damages: list[tuple[int, bytes]]
) -> None:
    for at, change in damages:
        content = content[:at] + change + content[at + 1 :]
    with suppress(ReadError):
        unpickle(content, HERE)


def _array_program(shape: bytes, content: bytes) -> bytes:
    """Return a pickle of an array of objects whose shape need not fit its content."""
    return (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01" + shape + b"\x85cnumpy\ndtype\nU\x02O8\x85R\x89" + content + b"tb."
    )


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (_array_program(b"M\xff\xff", b"]q\x00K\x01a"), "shape (65535,) cannot have 1 objects"),
        (_array_program(b"\x8a\x06\x00\x00\x00\x00\x00\x01", b"]"), "cannot have 0 objects"),
        (b"\x80\x02})" + b"\x85" * 1_000_000 + b"K\x00s.", "containers deep, are not allowed"),
        (b"\x80\x02K\x00\x85" + b"2\x86" * 40 + b".", "are not allowed"),
        (b"\x80\x02]q\x00h\x00a.", "a container that contains itself"),
        (b"\x80\x02]q\x00]h\x00ah\x00K\x01a0.", "a container that contains itself"),
        (b"\x80\x02c_codecs\nencode\n}X\x01\x00\x00\x00aK\x01sb.", "the state of Name"),
        (b"\x80\x02}\x8a\x08" + b"\x7f" * 8 + b"K\x00s.", "a key of more than 60 bits"),
        (b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R.",
         "an array without content"),
        (_array_program(b"J\xff\xff\xff\xff", b"]"), "an array of shape (-1,) is not allowed"),
        (_array_program(b"K\x01", b"K\x01"), "an array of objects without a list"),
        (_array_program(b"K\x01", b"]").replace(b"cnumpy\ndtype\nU\x02O8\x85R", b"K\x01"),
         "an array without a dtype"),
        (_array_program(b"K\x01", b"]").replace(b"cnumpy\nndarray", b"cnumpy\ndtype"),
         "an array of numpy.dtype is not allowed"),
        (b"cnumpy._core.multiarray\nscalar\n(S'f8'\nS'x'\ntR.", "a number that is not NumPy's"),
        (b"cnumpy._core.numeric\n_frombuffer\n(S'x'\nS'f8'\n(I1\ntS'C'\ntR.",
         "an array without bytes"),
        (pickle.dumps(np.zeros(2, dtype=[("x", "f4")])), "an array of dtype V4 is not allowed"),
        # A dtype of numbers whose state says that it has fields.
        (b"cnumpy\ndtype\n(S'f8'\ntR(I3\nS'<'\nN(S'x'\ntNtb.", "an array of records"),
        (pickle.dumps(np.zeros(2, dtype="M8[D]")), "an array of dtype M8 is not allowed"),
        (b"}(]K\x01u.", "a key of type list is not allowed"),
        (b"Snose\n.", "a text without quotes is not allowed"),
        (b"\x80\x04B" + (9_000).to_bytes(4, "little") + b"x" * 9_000 + b"\x89\x93.",
         "a name of bytes is not allowed"),
        (b"\x80\x04X\x02\x00\x00\x00os\x89\x93.", "a name of bool is not allowed"),
        (b"Pfile.txt\n.", "the operation PERSID is not allowed"),
    ],
)  # fmt: skip
def test_what_would_reach_into_memory_or_fill_it_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(ReadError, match=re.escape(reason)):
        unpickle(content, HERE)


def test_a_long_name_is_cut_in_the_sentence_that_refuses_it() -> None:
    with pytest.raises(ReadError, match=r"refused: x{60} is not allowed$"):
        unpickle(b"c" + b"x" * 9_000 + b"\nname\n.", HERE)


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
