"""Laws of numbers in JSON: those of a wrong shape are named with their place."""

from pathlib import Path

import pytest
import torch

from selfsup_lifting.parse.json_values import numbers_at, whole_number_at
from selfsup_lifting.read_errors import Place, ReadError

HERE = Place(Path("a.json"), "keypoints")


def test_null_is_missing_and_absurd_numbers_are_infinite() -> None:
    numbers = numbers_at(HERE, [[1, None], [1e10, -3.5]], -1, 2)
    assert numbers.dtype == torch.float32
    assert str(numbers.tolist()) == "[[1.0, nan], [inf, -3.5]]"


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([[1, 2], [3, "x"]], "a.json, keypoints[1][1], joint 1: expected a number, got 'x'"),
        ([[1, 2], [3]], "a.json, keypoints[1], joint 1: expected 2 numbers, got [3]"),
        ([[1, 2], [3, [4]]], "a.json, keypoints: expected n x 2 numbers, got [[1, 2], [3, [4]]]"),
        ([1, [2, 3]], "a.json, keypoints[0], joint 0: expected 2 numbers, got 1"),
        ([[[1, 2]]], "a.json, keypoints: expected n x 2 numbers, got [[[1, 2]]]"),
        ("text", "a.json, keypoints: expected n x 2 numbers, got 'text'"),
        ({"x": 1}, "a.json, keypoints: expected n x 2 numbers, got {'x': 1}"),
    ],
)
def test_numbers_of_another_shape_are_refused(values: object, sentence: str) -> None:
    with pytest.raises(ReadError) as refusal:
        numbers_at(HERE, values, -1, 2, per_joint=1)
    assert str(refusal.value) == sentence


@pytest.mark.rejects
@pytest.mark.parametrize("value", [-1, 0.5, 1e300, True, "3", None])
def test_only_whole_numbers_count(value: object) -> None:
    assert whole_number_at(HERE, 3.0) == 3
    with pytest.raises(ReadError, match="expected a whole number from 0 to 9007199254740992, got"):
        whole_number_at(HERE, value)
