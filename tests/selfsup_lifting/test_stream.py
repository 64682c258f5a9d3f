"""Laws of streams: a frame at a time gives what all frames give, through gaps and crossings."""

import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from torch.testing import assert_close

from multiview_geom import camera_to_world, save_cameras
from selfsup_lifting.cli import main, stream_command
from selfsup_lifting.cli.options import PredictOptions
from selfsup_lifting.cli.stream_command import _decoded, _parsed, answers, predict_stream
from selfsup_lifting.config import Config, LifterSettings
from selfsup_lifting.files import read_recordings
from selfsup_lifting.inference import lift, lift_covariances
from selfsup_lifting.pose_refinement import measure_body, refine_poses
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.stream import PoseStream
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.triangulate import normalized_image
from tests.selfsup_lifting.strategies import Scene, scenes

ROUND_OFF = 1e-5


def lifter_of(recording: Recording) -> Lifter:
    settings = LifterSettings(width=8, blocks=1, confidence_input=True)
    return Lifter(recording.skeleton, settings).eval()


@given(scenes.filter(lambda scene: not scene.missing))
def test_complete_frames_are_lifted_as_by_lift(scene: Scene) -> None:
    single = scene.recording().select_views(["cam_2"])
    lifter = lifter_of(single)
    stream = PoseStream(lifter, single.cameras, hold=0)
    steps = zip(single.keypoints, single.confidence, strict=True)
    poses = [stream.step(people, trust) for people, trust in steps]
    # Joints jump by more than the size of the person here: somebody else, to the stream.
    followed = [place for place, pose in enumerate(poses) if pose.person == 0]
    expected = lift(lifter, single.cameras, single.keypoints, single.confidence)[:, 0]
    assert 0 in followed
    for place in followed:
        assert_close(poses[place].points, expected[place], atol=ROUND_OFF, rtol=1e-4)
        assert not poses[place].held.any()


def walking(frames: int) -> Recording:
    """Return one person who moves by 4 px in every frame."""
    single = Scene(frames=1).recording().select_views(["cam_1"])
    shift = 4.0 * torch.arange(frames)[:, None, None, None] * torch.tensor([1.0, 0.0])
    return Recording(
        "walk", "S0", "walking", 30.0, single.skeleton, single.cameras,
        single.keypoints + shift, single.confidence.expand(frames, -1, -1),
    )  # fmt: skip


def test_a_lost_joint_moves_with_the_others_until_it_is_held_too_long() -> None:
    walk = walking(6)
    stream = PoseStream(lifter_of(walk), walk.cameras, hold=3)
    for place, people in enumerate(walk.keypoints):
        seen = people.clone()
        if place > 0:
            seen[0, 4] = torch.nan
        pose = stream.step(seen, walk.confidence[place])
        assert bool(pose.held[4]) == (1 <= place <= 3)
        expected = people[0, 4] if place <= 3 else torch.full((2,), torch.nan)
        assert_close(pose.keypoints[4], expected, equal_nan=True, atol=1e-3, rtol=0)
        assert_close(pose.keypoints[5], people[0, 5])


def walker() -> Recording:
    return read_recordings(["synthetic"], ReadSettings(fps=10.0))[0].select_views(["cam_2"])


def lifter_near_the_truth(single: Recording, *, uncertainty: bool = False) -> Lifter:
    """Return a lifter whose poses are near the first one: where a camera can place them."""
    torch.manual_seed(0)
    settings = LifterSettings(width=8, blocks=1, uncertainty=uncertainty)
    lifter = Lifter(single.skeleton, settings).eval()
    assert single.truth is not None
    first = single.truth[0] @ single.cameras.camera_from_world[0, :3, :3].float().mT
    last = lifter.decoder.layers[-1]
    last.bias.data = (first - first[:1]).flatten()
    last.weight.data.mul_(5.0)  # bones that change from pose to pose
    if uncertainty:
        lifter.error_unit.fill_(0.1)
    return lifter


@pytest.mark.parametrize("uncertainty", [False, True])
def test_a_stream_refines_by_the_bones_so_far(*, uncertainty: bool) -> None:
    single = walker()
    lifter = lifter_near_the_truth(single, uncertainty=uncertainty)
    inputs = (single.cameras, single.keypoints, single.confidence)
    image = normalized_image(single.cameras, single.keypoints)[:, 0].float()
    lifted, trust = lift(lifter, *inputs)[:, 0], single.confidence[:, 0]
    covariance = lift_covariances(lifter, *inputs)[:, 0] if uncertainty else None
    stream = PoseStream(lifter, single.cameras, hold=0, refine=True)
    for place in range(12):
        pose = stream.step(single.keypoints[place], single.confidence[place])
        body, now = measure_body(lifted[: place + 1], single.skeleton), slice(place, place + 1)
        known = None if covariance is None else covariance[now]
        root = single.skeleton.root
        expected = refine_poses(lifted[now], image[now], trust[now], body, root, known)
        assert_close(pose.points, expected[0], atol=1e-4, rtol=1e-3)
        assert (pose.points - lifted[place]).norm(dim=-1).max() > 0.005
        assert pose.covariance is None


def test_the_bones_of_a_forgotten_person_are_forgotten() -> None:
    single = walker()
    somebody, other = single.keypoints[[0, 40]]
    lifter, nobody = lifter_near_the_truth(single), somebody[:0]
    fresh, kept, cleared = (
        PoseStream(lifter, single.cameras, hold=1, refine=True) for _ in range(3)
    )
    for people in [somebody] * 8:
        kept.step(people)
        cleared.step(people)
    for _ in range(2):
        cleared.step(nobody)
    expected = fresh.step(other).points
    assert_close(cleared.step(other).points, expected)
    assert (kept.step(other).points - expected).norm(dim=-1).max() > 0.001


def test_a_lost_person_stays_for_some_frames_and_is_then_forgotten() -> None:
    walk = walking(2)
    stream = PoseStream(lifter_of(walk), walk.cameras, hold=2)
    first = stream.step(walk.keypoints[0])
    nobody = torch.full((0, len(walk.skeleton.joints), 2), torch.nan)
    held, again, lost = (stream.step(nobody) for _ in range(3))
    assert_close(held.points, first.points)
    assert again.held.all()
    assert lost.points.isnan().all()
    assert (lost.person, bool(lost.held.any())) == (None, False)
    assert stream.step(walk.keypoints[1] + 900.0).person == 0


def test_the_same_person_is_followed_whatever_their_order_and_certainty() -> None:
    walk = walking(10)
    other = walk.keypoints.flip(0) + torch.tensor([150.0, 30.0])
    stream = PoseStream(lifter_of(walk), walk.cameras)
    for place, (mine, others) in enumerate(zip(walk.keypoints, other, strict=True)):
        swapped = place % 2
        people = torch.cat([others, mine] if swapped else [mine, others])
        trust = torch.full(people.shape[:2], 0.9)
        trust[swapped] = 0.5 if place else 1.0
        pose = stream.step(people, trust)
        assert pose.person == swapped
        assert_close(pose.keypoints, mine[0])
    with_other_only = stream.step(walk.keypoints[0] + 5000.0)
    assert with_other_only.person is None


def test_predict_reads_and_writes_a_line_per_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene(views=2, frames=10).recording()
    save_recording(tmp_path / "scene.npz", scene)
    save_cameras(tmp_path / "rig.toml", scene.cameras)
    run = str(tmp_path / "run")
    small = ["--lifter.width", "8", "--lifter.blocks", "1", "--epochs", "1", "--recipe", "paper"]
    main(["train", "--data", str(tmp_path / "scene.npz"), "--run", run, *small])
    pixels, trust = scene.keypoints[:1, 1], scene.confidence[:1, 1]
    joints = torch.cat([pixels, trust[..., None]], dim=-1)[0].tolist()
    lines = [{"keypoints": [None, *joints[1:]]}, {"people": []}, {"keypoints": joints}]
    monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{json.dumps(one)}\n" for one in lines)))
    capsys.readouterr()
    command = ["predict", run, "-", "--cameras", str(tmp_path / "rig.toml"), "--view", "cam_2"]
    main([*command, "--coordinates", "world"])
    first, second, third = map(json.loads, capsys.readouterr().out.splitlines())
    assert [one["person"] for one in (first, second, third)] == [0, None, 0]
    assert second["points"] == first["points"]
    assert second["held"] == list(scene.skeleton.joints[1:])
    rig = scene.cameras.select(["cam_2"])
    center = torch.tensor(third["points"]).double().mean(dim=0, keepdim=True)
    assert (rig.project(center).pixels[0] - pixels.mean(dim=1)).norm() < 100
    monkeypatch.setattr("sys.stdin", io.StringIO('{"keypoints": [[1]]}\n'))
    with pytest.raises(SystemExit):
        main(command)
    assert "standard input, line 1: expected an object with" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{json.dumps(lines[2])}\n"))
    main([*command, "--coordinates", "world", "--refine"])
    assert json.loads(capsys.readouterr().out)["points"] != third["points"]
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{json.dumps(lines[2])}\n"))
    main([*command, "--coordinates", "camera"])
    placed = torch.tensor(json.loads(capsys.readouterr().out)["points"]).double()
    world = camera_to_world(rig.camera_from_world[0], placed)
    assert_close(world, torch.tensor(third["points"]).double(), atol=2e-4, rtol=0)


@pytest.mark.parametrize(
    "joint",
    [
        "[1, " + 400 * "9" + "]",
        "3",
        "[]",
        "{}",
        '["left", 2]',
        '["1", 2]',
        "[true, false]",
        "[1, 2, -3]",
        "[1, 2, 1, 1]",
    ],
)
def test_a_line_without_pixels_is_one_sentence(joint: str) -> None:
    with pytest.raises(ValueError, match="expected an object with `keypoints`, a list of 1 joints"):
        _parsed(f'{{"keypoints": [{joint}]}}', 0, 1, set())


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("line", "got"),
    [
        ("", r"got no JSON, or a part of it: Expecting value"),
        ('{"keypoints": [[1', r"got no JSON, or a part of it: Expecting"),
        ("\x1f\udc8b\x08", r"got a gzip archive$"),
        ("\udcff\udcfe{\0", r"got text in UTF-16, as PowerShell writes it: convert it to UTF-8$"),
        (100_000 * "[", r"got no JSON, or a part of it: its values are nested too deep"),
        ("null", "got null$"),
        ("[1]", r"got \[1\]$"),
        ('{"keypoint": []}', r'got \{"keypoint": \[\]\}$'),
        ('{"keypoints": [[1, 2]], "people": []}', "got .*people"),
        ('{"people": 3}', r'got \{"people": 3\}$'),
        ('{"people": [null]}', "got null$"),
        ('{"keypoints": {}}', r'got \{"keypoints": \{\}\}$'),
        ('{"keypoints": [[1, 2], [1, 2]]}', "got 2 joints: "),
        ('{"keypoints": [[1, 2, 95]]}', r"got the joint .*, whose confidence is not from 0 to 1"),
        ('{"keypoints": [[1e300, 2]]}', r"got the joint \[1e\+300, 2\], which is too large"),
    ],
)
def test_what_came_instead_of_a_frame_is_said(line: str, got: str) -> None:
    with pytest.raises(ValueError, match=f"line 7: expected an object .* such lists; {got}"):
        _parsed(line, 7, 1, set())


@pytest.mark.rejects
def test_options_that_change_nothing_in_a_stream_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_command, "load_config", lambda _: Config())
    read = replace(ReadSettings(), cameras=tmp_path / "rig.toml", fps=10.0)
    options = PredictOptions(run=tmp_path, keypoints="-", out=(tmp_path / "p.csv",), read=read)
    with pytest.raises(ValueError, match="beside it, `out` and `fps` cannot be given"):
        predict_stream(options)


def test_the_camera_of_a_stream_is_named_if_nobody_chose_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    save_cameras(tmp_path / "rig.toml", Scene(views=2).cameras())
    read = ReadSettings(cameras=tmp_path / "rig.toml", unit="m")
    options = PredictOptions(run=tmp_path, keypoints="-", read=read)
    assert stream_command._camera(options).names == ("cam_1",)
    assert "the frames are taken to be those of cam_1, the first of the cameras" in caplog.text
    caplog.clear()
    assert stream_command._camera(replace(options, view="cam_2")).names == ("cam_2",)
    assert not caplog.messages
    with pytest.raises(ValueError, match=r"rig\.toml has no camera cam_9; it has cam_1, cam_2"):
        stream_command._camera(replace(options, view="cam_9"))


def test_a_byte_order_mark_before_the_first_frame_is_passed_over() -> None:
    pixels, confidence = _parsed('\ufeff{"keypoints": [[1, 2], null]}\n', 1, 2, set())
    assert pixels[0, 0].tolist() == [1.0, 2.0]
    assert confidence.tolist() == [[1.0, 0.0]]


@pytest.mark.rejects
def test_a_stream_is_of_one_camera() -> None:
    recording = Scene(views=2).recording()
    with pytest.raises(ValueError, match="`camera` must have one view, got cam_1, cam_2"):
        PoseStream(lifter_of(recording), recording.cameras)


def answered(*lines: str) -> list[str]:
    single = walking(1)
    stream = PoseStream(lifter_of(single), single.cameras)
    return list(answers(lines, stream, single.cameras, "root"))


def test_keys_that_are_not_read_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    line = json.dumps({"keypoints": [[500.0 + at, 400.0] for at in range(17)], "camera": "cam_2"})
    assert len(answered(line, line)) == 2
    assert [one.getMessage() for one in caplog.records] == [
        "standard input, line 1: not read: camera"
    ]


def test_blank_lines_are_passed_over_and_named_once(caplog: pytest.LogCaptureFixture) -> None:
    line = json.dumps({"keypoints": [[500.0 + at, 400.0] for at in range(17)]})
    found = answered(line + "\n", "\n", line + "\n", " \r\n", line + "\n", "\n")
    assert [json.loads(one)["frame"] for one in found] == [0, 1, 2]
    (said,) = [one.getMessage() for one in caplog.records]
    assert said.startswith("standard input, line 2: blank lines are passed over, and are no frames")
    caplog.clear()
    assert len(answered(line, "")) == 1
    assert not caplog.messages
    with pytest.raises(ValueError, match="standard input, line 3: expected an object"):
        answered(line, "", "null")


def test_an_input_without_a_line_is_named(caplog: pytest.LogCaptureFixture) -> None:
    assert answered() == []
    assert "standard input ended before its first line" in caplog.text


@pytest.mark.rejects
def test_an_input_that_is_no_text_is_one_sentence() -> None:
    lines = io.TextIOWrapper(io.BytesIO(b"\xff\xfe{\x00"), encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"after line 0: expected text in utf-8, got .* 0xff; .*16"
    ):
        assert not [*_decoded(lines)]


def test_a_person_of_zeros_does_not_end_a_stream() -> None:
    assert len(answered(json.dumps({"keypoints": [[0.0, 0.0]] * 17}))) == 1


@pytest.mark.rejects
def test_fractions_and_keys_that_appear_twice_are_refused() -> None:
    with pytest.raises(ValueError, match="expected pixels, got coordinates between -1 and 1"):
        answered(json.dumps({"keypoints": [[0.5, 0.4]] * 17}))
    with pytest.raises(ValueError, match="the key 'keypoints' appears twice"):
        answered('{"keypoints": [], "keypoints": []}')


def test_fractions_of_the_image_are_refused_in_python_too() -> None:
    single = walking(2)
    lifter, fractions = lifter_of(single), single.keypoints / 1000
    cause = "expected pixels, got coordinates between -1 and 1; likely cause: fractions of the"
    with pytest.raises(ValueError, match=f"`keypoints`: {cause}"):
        lift(lifter, single.cameras, fractions)
    with pytest.raises(ValueError, match=f"`people`: {cause}"):
        PoseStream(lifter, single.cameras).step(fractions[0])


def test_a_camera_whose_pixels_are_focal_lengths_is_no_mistake() -> None:
    single = walking(2)
    image = normalized_image(single.cameras, single.keypoints)
    unit = replace(single.cameras, intrinsics=torch.eye(3).to(single.cameras.intrinsics)[None])
    lifter = lifter_of(single)
    expected = lift(lifter, single.cameras, single.keypoints)
    assert_close(lift(lifter, unit, image), expected, rtol=1e-4, atol=ROUND_OFF)


def test_a_lifter_that_is_being_trained_lifts_as_an_evaluated_one() -> None:
    single = walking(3)
    lifter = Lifter(single.skeleton, LifterSettings(width=8, blocks=1, dropout=0.5))
    expected = lift(lifter.eval(), single.cameras, single.keypoints)
    before = {name: one.clone() for name, one in lifter.state_dict().items()}
    assert_close(lift(lifter.train(), single.cameras, single.keypoints), expected, equal_nan=True)
    assert lifter.training
    assert all(torch.equal(one, before[name]) for name, one in lifter.state_dict().items())


@pytest.mark.rejects
def test_shapes_of_poses_are_checked() -> None:
    single = walking(2)
    lifter = lifter_of(single)
    with pytest.raises(ValueError, match=r"`keypoints` must have shape \(2, 1, 17, 2\)"):
        lift(lifter, single.cameras, single.keypoints[:, :, :5])
    with pytest.raises(ValueError, match=r"`confidence` must have shape \(2, 1, 17\)"):
        lift(lifter, single.cameras, single.keypoints, torch.ones(3))
    with pytest.raises(ValueError, match=r"must have shape \(1, 17, 2\), got \(\)"):
        lift(lifter, single.cameras, torch.tensor(1.0))
    sound = single.keypoints.nan_to_num()
    for odd in (sound > 0, sound.to(torch.complex64), sound.to_sparse()):
        with pytest.raises(ValueError, match="`keypoints` must be floating point and dense, got"):
            lift(lifter, single.cameras, odd)
    with pytest.raises(ValueError, match="`confidence` must be floating point and dense, got tor"):
        lift(lifter, single.cameras, sound, torch.ones(2, 1, 17, dtype=torch.complex64))
    for odd in (90.0, -1.0):
        with pytest.raises(ValueError, match=f"`confidence` must be from 0 to 1, got {odd:g}"):
            lift(lifter, single.cameras, single.keypoints, torch.full((2, 1, 17), odd))
    with pytest.raises(ValueError, match="`hold` must be 0 to"):
        PoseStream(lifter, single.cameras, hold=-1)
    with pytest.raises(ValueError, match=r"`people` must be a tensor of shape \(people, 17, 2\)"):
        PoseStream(lifter, single.cameras).step(torch.zeros(1, 5, 2))


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"hold": 1.5}, "`hold` must be 0 to 1000000000 whole frames, got 1.5"),
        ({"hold": True}, "`hold` must be 0 to 1000000000 whole frames, got True"),
        ({"hold": "3"}, "`hold` must be 0 to 1000000000 whole frames, got '3'"),
        ({"refine": "no"}, "`refine` must be bool, got str"),
        ({"lifter": torch.nn.Linear(2, 3)}, "`lifter` must be a Lifter, as `load_lifter` returns"),
    ],
)
def test_settings_of_a_stream_of_another_kind_are_refused(settings: dict, sentence: str) -> None:
    single = walking(1)
    given = {"lifter": lifter_of(single), **settings}
    with pytest.raises(ValueError, match=re.escape(sentence)):
        PoseStream(given.pop("lifter"), single.cameras, **given)


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("confidence", "sentence"),
    [
        (torch.full((1, 17), 90.0), "`confidence` must be from 0 to 1, got 90"),
        (torch.full((1, 17), -1.0), "`confidence` must be from 0 to 1, got -1"),
        (torch.full((1, 17), torch.nan), "`confidence` must be from 0 to 1, got nan"),
        (torch.ones(1, 17).bool(), "`confidence` must have real numbers, got torch.bool"),
        (17 * [1.0], "`confidence` must be Tensor, got list"),
    ],
)
def test_confidences_of_another_kind_or_scale_are_refused(
    confidence: object, sentence: str
) -> None:
    single = walking(1)
    stream = PoseStream(lifter_of(single), single.cameras)
    with pytest.raises(ValueError, match=sentence):
        stream.step(single.keypoints[0], confidence)
    with pytest.raises(ValueError, match="`people` must have real numbers"):
        stream.step(single.keypoints[0].to(torch.complex64))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64])
def test_a_stream_takes_real_numbers_of_any_kind(dtype: torch.dtype) -> None:
    single = walking(1)
    people = single.keypoints[0].round().to(dtype)
    streams = (PoseStream(lifter_of(single), single.cameras) for _ in range(2))
    for stream, same in zip(streams, (people, people.float()), strict=True):
        found = stream.step(same).keypoints
        assert_close(found, people[0].float(), rtol=0, atol=0)


def test_pixels_beyond_the_picture_are_named_once(caplog: pytest.LogCaptureFixture) -> None:
    single = Scene(views=1, frames=2).recording()
    lifter, camera = lifter_of(single), single.cameras
    person = (2000 + 100 * torch.randn(len(lifter.skeleton.joints), 2)).tolist()
    lines = [json.dumps({"keypoints": person})] * 3
    assert len([*answers(lines, PoseStream(lifter, camera), camera, "root")]) == 3
    assert [record.getMessage().count("outside of the picture") for record in caplog.records] == [1]


def test_a_stream_and_lift_name_the_camera_whose_picture_has_another_size(
    caplog: pytest.LogCaptureFixture,
) -> None:
    both = Scene(views=2, frames=3).recording()
    lifter = lifter_of(both)
    keypoints = both.keypoints.clone()
    keypoints[:, 1] += 2000
    lift(lifter, both.cameras, both.keypoints, both.confidence)
    assert not caplog.records
    lift(lifter, both.cameras, keypoints, both.confidence)
    stream = PoseStream(lifter, both.select_views(["cam_2"]).cameras)
    for people in (both.keypoints[0, 1:], keypoints[1, 1:], keypoints[2, 1:]):
        stream.step(people)
    said = "most joints are outside of the picture of cam_2: are the pixels"
    messages = [record.getMessage() for record in caplog.records]
    assert [message.partition(said)[0] for message in messages] == ["", "frame 1 of the stream: "]


def test_joints_that_the_detector_does_not_trust_may_be_outside_of_the_picture(
    caplog: pytest.LogCaptureFixture,
) -> None:
    single = Scene(views=1, frames=2).recording()
    nothing = torch.zeros_like(single.confidence)
    lift(lifter_of(single), single.cameras, single.keypoints + 2000, nothing)
    assert not caplog.records
