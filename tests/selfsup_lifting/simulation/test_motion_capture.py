"""Laws of BVH motion capture, read and filmed."""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch.testing import assert_close

from selfsup_lifting.export import save_tracks
from selfsup_lifting.files import ReadError, read_recordings, read_results
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.simulation.bvh import joint_poses, load_bvh
from selfsup_lifting.simulation.motion_capture import human_joints
from selfsup_lifting.simulation_settings import NoiseSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS
from selfsup_lifting.upright import y_up
from tests.selfsup_lifting.strategies import Scene

H36M = SKELETONS["h36m17"]
EXACT = NoiseSettings(jitter_px=0.0, bias_px=0.0, outlier_share=0.0)


@dataclass(frozen=True)
class Arm:
    """Two bones in a row, as a BVH file tells them."""

    upper: tuple[float, float, float] = (1.0, 0.0, 0.0)
    lower: tuple[float, float, float] = (0.0, 2.0, 0.0)
    order: str = "ZXY"
    shoulder: tuple[float, float, float] = (0.0, 0.0, 0.0)
    elbow: tuple[float, float, float] = (0.0, 0.0, 0.0)
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def write(self, path: Path) -> Path:
        turns = " ".join(f"{axis}rotation" for axis in self.order)
        upper, lower = (" ".join(map(repr, bone)) for bone in (self.upper, self.lower))
        numbers = " ".join(map(repr, (*self.origin, *self.shoulder, *self.elbow, 0.0, 0.0, 0.0)))
        path.write_text(
            "HIERARCHY\nROOT Shoulder\n{\nOFFSET 9 9 9\n"
            f"CHANNELS 6 Xposition Yposition Zposition {turns}\n"
            f"JOINT Elbow\n{{\nOFFSET {upper}\nCHANNELS 3 {turns}\n"
            f"JOINT Wrist\n{{\nOFFSET {lower}\nCHANNELS 3 {turns}\n"
            "End Site\n{\nOFFSET 0 0 0\n}\n}\n}\n}\n"
            f"MOTION\nFrames: 1\nFrame Time: 0.02\n{numbers}\n"
        )
        return path

    def wrist(self) -> np.ndarray:
        upper_arm = Rotation.from_euler(self.order, self.shoulder, degrees=True)
        forearm = upper_arm * Rotation.from_euler(self.order, self.elbow, degrees=True)
        return np.array(self.origin) + upper_arm.apply(self.upper) + forearm.apply(self.lower)


degrees = st.floats(-180, 180)
lengths = st.floats(-3, 3)
angles = st.tuples(degrees, degrees, degrees)
vectors = st.tuples(lengths, lengths, lengths)
arms = st.builds(
    Arm,
    upper=vectors,
    lower=vectors,
    order=st.sampled_from(["XYZ", "XZY", "YXZ", "YZX", "ZXY", "ZYX"]),
    shoulder=angles,
    elbow=angles,
    origin=vectors,
)


@given(arms)
def test_joints_are_where_scipy_puts_them(
    tmp_path_factory: pytest.TempPathFactory, arm: Arm
) -> None:
    placed = joint_poses(load_bvh(arm.write(tmp_path_factory.mktemp("arm") / "arm.bvh")))
    assert_close(placed.positions[0, 2].numpy(), arm.wrist(), rtol=0, atol=1e-9)


def test_position_channels_replace_the_offset(tmp_path: Path) -> None:
    placed = joint_poses(load_bvh(Arm(origin=(1.0, 2.0, 3.0)).write(tmp_path / "arm.bvh")))
    assert placed.positions[0, 0].tolist() == [1.0, 2.0, 3.0]


# Height and sideways place of every joint of an actor who stands and faces +z [cm].
BANDAI = {
    "Hips": (0, 94, ""), "Spine": (0, 110, "Hips"), "Chest": (0, 120, "Spine"),
    "Neck": (0, 140, "Chest"), "Head": (0, 147, "Neck"),
    "UpperArm_L": (18, 137, "Chest"), "LowerArm_L": (18, 112, "UpperArm_L"),
    "Hand_L": (18, 90, "LowerArm_L"), "UpperArm_R": (-18, 137, "Chest"),
    "LowerArm_R": (-18, 112, "UpperArm_R"), "Hand_R": (-18, 90, "LowerArm_R"),
    "UpperLeg_L": (8, 92, "Hips"), "LowerLeg_L": (8, 52, "UpperLeg_L"),
    "Foot_L": (8, 11, "LowerLeg_L"), "UpperLeg_R": (-8, 92, "Hips"),
    "LowerLeg_R": (-8, 52, "UpperLeg_R"), "Foot_R": (-8, 11, "LowerLeg_R"),
}  # fmt: skip
MIXAMO = {
    "Chest": "Spine1", "UpperArm_L": "LeftArm", "LowerArm_L": "LeftForeArm", "Hand_L": "LeftHand",
    "UpperArm_R": "RightArm", "LowerArm_R": "RightForeArm", "Hand_R": "RightHand",
    "UpperLeg_L": "LeftUpLeg", "LowerLeg_L": "LeftLeg", "Foot_L": "LeftFoot",
    "UpperLeg_R": "RightUpLeg", "LowerLeg_R": "RightLeg", "Foot_R": "RightFoot",
}  # fmt: skip


def actor(
    *, names: dict[str, str] | None = None, unit: float = 1.0, frames: int = 3, fps: int = 50
) -> str:
    """Write an actor who stands still, with three rotation channels per joint."""

    def joint(name: str, indent: str) -> str:
        across, height, parent = BANDAI[name]
        from_across, from_height, _ = BANDAI.get(parent, (0, 0, ""))
        offset = f"{(across - from_across) * unit} {(height - from_height) * unit} 0"
        children = [child for child, (_, _, above) in BANDAI.items() if above == name]
        below = "".join(joint(child, indent + " ") for child in children)
        end = "" if children else f"{indent} End Site {{ OFFSET 0 0 0 }}\n"
        word = "JOINT" if parent else "ROOT"
        return (
            f"{indent}{word} {(names or {}).get(name, name)}\n"
            f"{indent}{{\n{indent} OFFSET {offset}\n"
            f"{indent} CHANNELS 3 Zrotation Xrotation Yrotation\n{below}{end}{indent}}}\n"
        )

    row = " ".join(["0"] * (3 * len(BANDAI)))
    motion = f"MOTION\nFrames: {frames}\nFrame Time: {1 / fps}\n" + f"{row}\n" * frames
    return f"HIERARCHY\n{joint('Hips', '')}{motion}"


@pytest.mark.parametrize("names", [None, MIXAMO, {name: f"mixamorig:{name}" for name in BANDAI}])
@pytest.mark.parametrize("unit", [1.0, 0.01, 10.0])
def test_an_actor_stands_upright_in_meters(
    tmp_path: Path, names: dict[str, str] | None, unit: float
) -> None:
    (tmp_path / "clip.bvh").write_text(actor(names=names, unit=unit))
    (recording,) = read_recordings([str(tmp_path)], ReadSettings(noise=EXACT))
    assert recording.truth is not None
    heights = dict(zip(H36M.joints, recording.truth[0, :, 2].tolist(), strict=True))
    expected = {"pelvis": 0.94, "left_knee": 0.52, "thorax": 1.40, "nose": 1.47, "head_top": 1.57}
    assert {joint: round(heights[joint], 4) for joint in expected} == expected
    across = (recording.truth[0, 4] - recording.truth[0, 1]).norm()
    assert_close(across, torch.tensor(0.16), rtol=0, atol=1e-5)


def test_left_is_left_of_where_the_actor_faces(tmp_path: Path) -> None:
    (tmp_path / "clip.bvh").write_text(actor())
    settings = ReadSettings(noise=EXACT)
    (recording,) = read_recordings([str(tmp_path / "clip.bvh")], settings)
    assert recording.truth is not None
    to_the_left = recording.truth[0, 4] - recording.truth[0, 1]
    facing = torch.linalg.cross(to_the_left, torch.tensor([0.0, 0.0, 1.0]))
    from_behind = (recording.cameras.centers.float() @ facing).argmin()
    seen = recording.keypoints[0, from_behind]
    assert seen[4, 0] < seen[1, 0]


def test_a_skeleton_of_your_own_is_found_by_name(tmp_path: Path) -> None:
    (tmp_path / "clip.bvh").write_text(actor())
    (tmp_path / "leg.toml").write_text(
        'joints = ["Hips", "upper_leg_left", "FootL", "Neck"]\nroot = ["Hips"]\n'
        'bones = [["Hips", "upper_leg_left"], ["upper_leg_left", "FootL"], ["Hips", "Neck"]]\n'
    )
    settings = ReadSettings(noise=EXACT, detected_skeleton=str(tmp_path / "leg.toml"))
    (recording,) = read_recordings([str(tmp_path / "clip.bvh")], settings)
    assert recording.truth is not None
    assert recording.skeleton.joints == ("Hips", "upper_leg_left", "FootL", "Neck")
    heights = recording.truth[0, :, 2].tolist()
    assert [round(height, 4) for height in heights] == [0.94, 0.92, 0.11, 1.4]


def test_who_does_what_comes_from_the_file_name(tmp_path: Path) -> None:
    (tmp_path / "dataset-1_walk-back_happy_001.bvh").write_text(actor())
    (recording,) = read_recordings([f"mocap:{tmp_path}"], ReadSettings())
    assert (recording.action, recording.subject, recording.fps) == ("walk-back", "happy", 50.0)


def test_who_does_what_comes_from_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "take3.bvh").write_text(actor())
    (tmp_path / "manifest.csv").write_text("file,content,style\ntake3.bvh,bow,sad\n")
    (recording,) = read_recordings([str(tmp_path)], ReadSettings())
    assert (recording.action, recording.subject) == ("bow", "sad")


def test_a_table_of_something_else_is_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "take_1_bow_sad_3.bvh").write_text(actor())
    (tmp_path / "manifest.csv").write_text("file,rating\ntake_1_bow_sad_3.bvh,5\n")
    (recording,) = read_recordings([str(tmp_path)], ReadSettings())
    assert (recording.action, recording.subject) == ("bow", "sad")


def test_noise_belongs_to_the_clip_and_not_to_the_run(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.bvh").write_text(actor())
    both = read_recordings([str(tmp_path)], ReadSettings())
    (alone,) = read_recordings([str(tmp_path / "b.bvh")], ReadSettings())
    assert torch.equal(both[1].keypoints, alone.keypoints)
    assert not torch.equal(both[0].keypoints, alone.keypoints)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ("MOTION", "", "expected a line MOTION"),
        ("Frames: 3", "Frames: 4", r"expected 4 frames as in the header, got 3 lines"),
        (
            "Frames: 3",
            "Frames: many",
            "line 93: expected `Frames:` and a number, got 'Frames: many'",
        ),
        ("Frames: 3", "Frames: 2.5", "expected a whole number of frames, got 2.5"),
        ("Time: 0.02", "Time: 0,02", "line 94: .*, got 'Frame Time: 0,02': a decimal comma"),
        ("Frame Time: 0.02", "Frame Time: 0", "expected at least one frame, got 3 frames of 0.0 s"),
        ("0.02", "16.67", "line 94: expected the seconds of a frame, got 16.67: in another unit?"),
        ("Zrotation X", "Xrotation X", "line 5: one of the channels Xrotation, .* appears twice"),
        ("Zrotation", "Wrotation", "line 5: unknown channel Wrotation"),
        ("CHANNELS 3", "CHANNELS x", "line 5: expected a number, got x"),
        ("OFFSET 0 0 0", "OFFSET 0 0 nan", "expected a finite number, got nan"),
        ("ROOT", "JOINT", "line 2: expected HIERARCHY and ROOT"),
        ("End Site", "Ende", "expected JOINT, End Site or }, got Ende"),
        ("0 0 0\n0", "0 0\n0", "frame 0: expected 51 numbers, got 50"),
        (
            "0 0 0\n0",
            "0 0 x\n0",
            r"line 95, frame 0: expected a finite number for \w+ of \w+, got 'x'",
        ),
        ("0 0 0\n0", "0 0 nan\n0", r"line 95, frame 0: .* for \w+ of \w+, got 'nan'"),
        ("Hand_L", "Hook_L", "no joint for left_wrist by the names of .* among Hips"),
        ("Head", "Cap", "no joint for nose, head_top by the names of .* among Hips"),
        ("Foot_L", "Hoof_L", "no joint for left_ankle by the names of .* among Hips"),
        ("CHANNELS", "", "line 5: expected CHANNELS, got 3"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    (tmp_path / "clip.bvh").write_text(actor().replace(old, new))
    with pytest.raises(ReadError, match=sentence):
        read_recordings([str(tmp_path / "clip.bvh")], ReadSettings())


def test_tracks_that_this_package_wrote_are_motion_capture(tmp_path: Path) -> None:
    (tmp_path / "clip.bvh").write_text(actor())
    path = tmp_path / "points.bvh"
    expected = human_joints(tmp_path / "clip.bvh", load_bvh(tmp_path / "clip.bvh"))
    save_tracks(path, expected, skeleton=H36M, fps=50.0, coordinates="world", up="z", fill=True)
    x, y, z = y_up(expected, "z").unbind(dim=-1)
    found = human_joints(path, load_bvh(path))
    assert_close(found, torch.stack([x, -z, y], dim=-1), atol=1e-4, rtol=0)
    (recording,) = read_recordings([str(path)], ReadSettings())
    assert recording.fps == pytest.approx(50.0)


@pytest.mark.parametrize("name", ["coco17", "halpe26"])
def test_tracks_of_another_skeleton_are_motion_capture_of_that_skeleton(
    tmp_path: Path, name: str
) -> None:
    path, truth = tmp_path / "points.bvh", Scene(views=2, skeleton=name).recording().truth
    save_tracks(path, truth, skeleton=SKELETONS[name], fps=50.0, coordinates="world", fill=True)
    with pytest.raises(ReadError, match="--detected-skeleton names another body: coco17, or FILE"):
        read_recordings([str(path)], ReadSettings())
    (recording,) = read_recordings([str(path)], ReadSettings(detected_skeleton=name))
    assert recording.skeleton.joints == SKELETONS[name].joints


@pytest.mark.rejects
@given(kept=st.floats(0, 0.999))
def test_a_file_cut_short_is_refused(tmp_path_factory: pytest.TempPathFactory, kept: float) -> None:
    path = tmp_path_factory.mktemp("cut") / "clip.bvh"
    text = actor().rstrip()
    path.write_text(text[: int(kept * len(text)) - 2])
    with pytest.raises(ReadError, match=r"clip\.bvh"):
        read_recordings([str(path)], ReadSettings())


@pytest.mark.rejects
def test_a_giant_is_no_body(tmp_path: Path) -> None:
    (tmp_path / "clip.bvh").write_text(actor(unit=1000.0))
    with pytest.raises(ReadError, match=r"expected a leg of .* got 81000 in none of cm, m, mm"):
        read_recordings([str(tmp_path)], ReadSettings())


def test_the_real_clips_are_read_whole(mocap_folder: Path) -> None:
    recordings = read_recordings([str(mocap_folder)], ReadSettings(noise=EXACT))
    assert (len(recordings), sum(recording.frame_count for recording in recordings)) == (45, 8397)
    assert {recording.subject for recording in recordings} >= {"happy", "proud", "sad"}
    truth = torch.cat([recording.truth for recording in recordings if recording.truth is not None])
    thigh = (truth[:, 4] - truth[:, 5]).norm(dim=-1)
    assert_close(thigh, torch.full_like(thigh, 0.3908), rtol=0, atol=2e-4)
    assert truth[..., 2].min() > 0


@pytest.mark.rejects
def test_a_file_of_two_people_is_named(tmp_path: Path) -> None:
    text = actor()
    root = text[text.index("ROOT") : text.index("MOTION")]
    (tmp_path / "a.bvh").write_text(text.replace("MOTION", f"{root}MOTION", 1))
    with pytest.raises(ReadError, match="expected MOTION after one skeleton, got ROOT: several"):
        load_bvh(tmp_path / "a.bvh")


def test_a_folder_of_clips_in_capitals_names_those_that_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("a.BVH", "more/b.bvh"):
        (tmp_path / name).write_text(actor(), encoding="utf-16")
    (result,) = read_results(str(tmp_path), ReadSettings())
    note = f"{tmp_path}: files in the folders below are not read: {tmp_path / 'more' / 'b.bvh'}"
    assert (result.recording.name, result.notes) == ("a", (note,))


def test_an_actor_below_the_ground_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "clip.bvh").write_text(actor())
    motion = load_bvh(tmp_path / "clip.bvh")
    across, height, _ = motion.joints[0].offset
    low = actor().replace(f"OFFSET {across} {height}", f"OFFSET {across} {height - 300}", 1)  # cm
    for text, count in ((actor(), 0), (low, 1)):
        (tmp_path / "clip.bvh").write_text(text)
        (result,) = read_results(str(tmp_path / "clip.bvh"), ReadSettings())
        assert len([note for note in result.notes if "m below the ground" in note]) == count


def test_angles_in_radians_are_noticed(tmp_path: Path) -> None:
    said = "more than 0.5 degrees in any frame"
    for angle in ("0.5", "30", "0"):
        row = " ".join([angle] * (3 * len(BANDAI)))
        (tmp_path / "clip.bvh").write_text(actor(frames=1).rpartition("\n0")[0] + f"\n{row}\n")
        (result,) = read_results(str(tmp_path / "clip.bvh"), ReadSettings())
        found = [note for note in result.notes if "are the angles in radians?" in note]
        assert [said in note for note in found] == [True] * (angle == "0.5")


def test_an_actor_who_lies_may_be_z_up(tmp_path: Path) -> None:
    turned = re.sub(r"OFFSET (\S+) (\S+) 0", r"OFFSET \1 0 \2", actor())
    for text, said in ((actor(), []), (turned, ["does the person lie, or is the file z up?"])):
        (tmp_path / "clip.bvh").write_text(text)
        (result,) = read_results(str(tmp_path / "clip.bvh"), ReadSettings())
        assert [note.rpartition("up: ")[2] for note in result.notes] == said
