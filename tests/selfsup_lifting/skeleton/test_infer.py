"""Laws of distinguishing skeletons with equally many joints by the anatomy."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from selfsup_lifting.files import ReadError, read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.skeleton.infer import skeleton_by_anatomy
from selfsup_lifting.skeleton.skeletons import SKELETONS
from tests.selfsup_lifting.files.layouts import save_calibration
from tests.selfsup_lifting.files.sessions.test_capture import person_of
from tests.selfsup_lifting.strategies import Scene

CANDIDATES = ("body25", "body25b")
FACE = ("nose", "eye", "ear")
# Without these nothing lies in the middle of two others, whichever of the two the body is.
TELLING = ("pelvis", "hip", "neck", "shoulder", *FACE)


@dataclass(frozen=True)
class Actor:
    """Somebody before a camera, and the parts of the body that it never sees."""

    body: str = "body25b"
    unseen: tuple[str, ...] = ()

    def flat(self) -> list[float]:
        flat = person_of(self.body)
        for at, joint in enumerate(SKELETONS[self.body].joints):
            if joint.endswith(self.unseen):
                flat[3 * at : 3 * at + 3] = [0.0, 0.0, 0.0]
        return flat

    def people(self) -> Tensor:
        return torch.tensor(self.flat()).reshape(1, -1, 3)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True)
        for frame in range(3):
            content = {"people": [{"pose_keypoints_2d": self.flat()}]}
            (folder / f"{folder.name}_{frame:012d}_keypoints.json").write_text(json.dumps(content))
        return folder


@pytest.mark.parametrize("body", CANDIDATES)
@pytest.mark.parametrize("unseen", [(), ("eye",), ("nose",), ("head_top", "toe", "heel")])
def test_what_is_not_seen_does_not_decide(body: str, unseen: tuple[str, ...]) -> None:
    assert skeleton_by_anatomy(Actor(body, unseen).people(), CANDIDATES) == SKELETONS[body]


def test_a_body_25b_whose_face_is_never_seen_is_no_body_25(tmp_path: Path) -> None:
    folder = Actor("body25b", ("nose", "left_eye", "right_eye")).write(tmp_path / "cam1_json")
    (recording,) = read_recordings([str(folder)], ReadSettings())
    assert recording.skeleton.name == "body25b"


@pytest.mark.parametrize("body", CANDIDATES)
def test_the_cameras_of_a_folder_share_a_detector(tmp_path: Path, body: str) -> None:
    """One camera sees too little to tell; the other tells for both."""
    Actor(body).write(tmp_path / "cam1_json")
    Actor(body, TELLING).write(tmp_path / "cam2_json")
    recording = Scene(views=2).recording()
    save_calibration(tmp_path / "calibration.toml", recording, ["cam_1", "cam_2"])
    (read,) = read_recordings([str(tmp_path)], ReadSettings())
    assert read.skeleton.name == body


@pytest.mark.rejects
def test_a_body_that_nothing_identifies_is_asked_for(tmp_path: Path) -> None:
    folder = Actor("body25b", TELLING).write(tmp_path / "cam1_json")
    with pytest.raises(ReadError, match=r"cam1_json: 25 .* body25 or body25b, .*--detected-skel"):
        read_recordings([str(folder)], ReadSettings())
    (recording,) = read_recordings([str(folder)], ReadSettings(detected_skeleton="body25b"))
    assert recording.skeleton.name == "body25b"


@pytest.mark.rejects
def test_cameras_that_differ_say_how_to_name_the_skeleton(tmp_path: Path) -> None:
    Actor("body25b").write(tmp_path / "cam1_json")
    folder = Actor("body25b").write(tmp_path / "cam2_json")
    for file in folder.iterdir():
        file.write_text(json.dumps({"people": [{"pose_keypoints_2d": [1.0, 2.0, 0.5] * 18}]}))
    save_calibration(tmp_path / "calib.toml", Scene(views=2).recording(), ["cam_1", "cam_2"])
    with pytest.raises(ReadError, match=r"skeleton 'coco18', .*with --detected-skeleton$"):
        read_recordings([str(tmp_path)], ReadSettings())


@pytest.mark.parametrize("camera", ["cam01_json", "cam03_json"])
@pytest.mark.parametrize("poses", ["pose", "pose-associated"])
def test_the_real_capture_is_of_body_25b(
    tmp_path: Path, capture_folder: Path, poses: str, camera: str
) -> None:
    """Camera 3 sees neither eyes nor nose; without the project's word anatomy must do."""
    (tmp_path / camera).symlink_to(capture_folder / poses / camera)
    (recording,) = read_recordings([str(tmp_path / camera)], ReadSettings(person="0"))
    assert recording.skeleton.name == "body25b"


@pytest.mark.parametrize("name", ["coco17", "h36m17", "mpi_inf_3dhp17"])
def test_seventeen_joints_of_a_person_determine_their_skeleton(name: str) -> None:
    person = read_recordings(["synthetic"], ReadSettings())[0]
    joints = SKELETONS[name].joints
    # The stick figure has no face, and its head is one joint.
    face = {"left_eye": (3, -4), "right_eye": (-3, -4), "left_ear": (8, -2), "right_ear": (-8, -2)}
    known = person.skeleton.joints
    replacements = {"neck": "thorax", "head": "nose"} | dict.fromkeys(face, "nose")
    order = [known.index(joint if joint in known else replacements[joint]) for joint in joints]
    shift = torch.tensor([face.get(joint, (0, 0)) for joint in joints]).float()
    pixels = person.keypoints[:, :, order] + shift
    people = torch.cat([pixels, torch.ones_like(pixels[..., :1])], dim=-1).flatten(0, 1)
    candidates = ("coco17", "h36m17", "mpi_inf_3dhp17")
    assert skeleton_by_anatomy(people, candidates) == SKELETONS[name]


def test_seventeen_points_without_anatomy_are_the_usual_joints() -> None:
    people = torch.rand(50, 17, 3, generator=torch.Generator().manual_seed(0))
    found = skeleton_by_anatomy(people, ("coco17", "h36m17", "mpi_inf_3dhp17"))
    assert found == SKELETONS["coco17"]
