"""Laws of matching the names of files with cameras."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsup_lifting.files.sessions.camera_matching import (
    best_guesses,
    declared_cameras,
    match_camera,
)
from selfsup_lifting.read_errors import ReadError


@given(
    st.sampled_from(["cam{}", "cam_{:02d}", "Cam-{}", "camera {}"]),
    st.sampled_from(["cam{}", "trial2_cam{:02d}", "CAM{}_json", "2026-cam-{}-walk"]),
    st.permutations(range(1, 13)),
)
def test_names_match_whatever_their_punctuation(
    calibration: str, file: str, order: list[int]
) -> None:
    if "camera" in calibration:
        file = file.lower().replace("cam", "camera ")
    names = [calibration.format(number) for number in range(1, 13)]
    matches = [match_camera(names, file.format(number)) for number in order]
    assert [match[0] for match in matches if match] == [calibration.format(at) for at in order]


def test_cameras_called_by_a_letter_match() -> None:
    assert match_camera(["A", "B"], "walk-camB") == ("B", "walk")
    assert match_camera(["A", "B"], "walk_cam_A") == ("A", "walk")


def test_a_letter_with_a_mark_is_one_however_it_is_written() -> None:
    assert match_camera(["B\u00fcro", "Flur"], "bu\u0308ro") == ("B\u00fcro", "")


def test_what_fits_two_cameras_fits_none() -> None:
    assert match_camera(["left", "right"], "left-right") is None


def test_a_declared_camera_has_no_other_file() -> None:
    declared = {"walk.json": "left"}
    assert match_camera(["left", "right"], "walk.json", None, declared) == ("left", "")
    assert match_camera(["left", "right"], "left.json", None, declared) is None


def test_each_file_is_the_guess_for_one_camera() -> None:
    files = ["gopro_lefty", "b", "gopro_left"]
    pairs = [("left", "gopro_left"), ("right", "gopro_lefty")]
    assert best_guesses(["left", "right"], files) == pairs
    assert best_guesses(["left", "right"], files[2:]) == pairs[:1]


@pytest.mark.rejects
def test_a_file_is_declared_for_one_camera() -> None:
    names, twice = ["left", "right"], ["left=a", "left=a"]
    assert declared_cameras(twice, names) == {"a": "left"}
    with pytest.raises(ReadError, match="got a with left and with right"):
        declared_cameras(["left=a", "right=a"], names)
