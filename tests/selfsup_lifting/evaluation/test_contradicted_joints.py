"""Joints of one camera that the others contradict are named, with the camera."""

import pytest

from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.evaluation.contradicted_joints import notes_on_joints
from selfsup_lifting.triangulate import reconstruct
from tests.selfsup_lifting.strategies import Scene


@pytest.mark.parametrize("is_wrong", [True, False])
def test_joints_that_are_named_wrongly_in_one_camera_are_named(*, is_wrong: bool) -> None:
    recording = Scene(views=4, frames=30).recording()
    joints = recording.skeleton.joints
    elbow, wrist = joints.index("left_elbow"), joints.index("left_wrist")
    if is_wrong:
        pair = recording.keypoints[:, 2, [wrist, elbow]].clone()
        recording.keypoints[:, 2, [elbow, wrist]] = pair
    settings = TriangulationSettings(method=Method.ROBUST, threshold_px=5.0)
    notes = [*notes_on_joints(recording, reconstruct(recording, settings).residuals)]
    assert len(notes) == is_wrong
    for note in notes:
        assert "contradict left_elbow, left_wrist of camera cam_3 in most frames" in note
