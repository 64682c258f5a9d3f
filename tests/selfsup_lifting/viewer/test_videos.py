"""Laws of pictures over the videos of cameras: the picture of a frame lies below its skeletons."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from multiview_geom import ring_of_cameras
from selfsup_lifting.cli import main
from selfsup_lifting.config import TriangulationSettings
from selfsup_lifting.detection.videos import open_videos
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import save_recording
from selfsup_lifting.viewer.pictures import Picture
from selfsup_lifting.viewer.scene import Scene as View
from selfsup_lifting.viewer.scene import notes_on_scene, read_scene, with_videos
from tests.selfsup_lifting.cli.test_cli import refused
from tests.selfsup_lifting.detection.test_detect import AWAY, FRAMES, HEIGHT, WIDTH, film, spot
from tests.selfsup_lifting.files.layouts import mmpose, write_session
from tests.selfsup_lifting.strategies import Scene


@pytest.fixture
def recording(tmp_path: Path) -> Recording:
    """Return a recording by two cameras, whose first joint is at the spot of their videos."""
    recording = Scene(views=2, frames=FRAMES).recording()
    cameras = ring_of_cameras(2, radius=4.0, height=1.5, dtype=recording.cameras.intrinsics.dtype)
    cameras = replace(cameras, image_size=torch.tensor([[WIDTH, HEIGHT]] * 2))
    keypoints = recording.keypoints.clone()
    for frame in range(FRAMES):
        for view in range(2):
            keypoints[frame, view, 0] = torch.tensor(spot(view, frame), dtype=keypoints.dtype)
    recording = replace(recording, cameras=cameras, keypoints=keypoints, truth=None)
    save_recording(tmp_path / "recording.npz", recording)
    return recording


def view_of(tmp_path: Path, frames: slice = slice(None)) -> View:
    paths = [str(tmp_path / "recording.npz")]
    return read_scene(paths, ReadSettings(), TriangulationSettings(), frames=frames)


@pytest.mark.usefixtures("recording")
def test_the_picture_of_every_frame_is_that_of_the_video(tmp_path: Path) -> None:
    videos = [film(tmp_path / f"cam{view + 1}.mp4", view) for view in range(2)]
    scene = with_videos(view_of(tmp_path, slice(1, None)), videos)
    frames = range(0, scene.frame_count, 2)
    picture = Picture(scene, frames)
    for frame in frames:
        picture.show(frame)
        for view, axes in enumerate(picture.figure.axes[1:]):
            (image,) = axes.images
            rows, columns = np.nonzero(np.asarray(image.get_array())[..., 0] > 128)
            number = frame + 1  # the first frame is left out
            assert (number in AWAY) == (not len(rows))
            if len(rows):
                middle = np.array([columns.mean(), rows.mean()])
                assert np.abs(middle - spot(view, number)).max() < 1.5
            assert axes.get_xlim() == (-0.5, WIDTH - 0.5)
            assert axes.get_ylim() == (HEIGHT - 0.5, -0.5)


@pytest.mark.usefixtures("recording")
def test_a_gif_shows_only_the_cameras_of_the_videos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    short = film(tmp_path / "cam_2.mp4", 1, FRAMES - 3)  # after its end, its last picture stays
    command = ["view", str(tmp_path / "recording.npz"), "--video", str(short), "--frames", "1:"]
    main([*command, "--out", str(tmp_path / "a.gif"), str(tmp_path / "a.png")])
    warning = " ".join(capsys.readouterr().err.split())
    assert f"{short} has {FRAMES - 3} frames, and frame {FRAMES - 1} of the recording" in warning
    with Image.open(tmp_path / "a.png") as picture:
        assert len({pixel for _, pixel in picture.convert("RGB").getcolors(10**6)}) > 50
    scene = with_videos(view_of(tmp_path), [short])
    titles = [axes.get_title() for axes in Picture(scene).figure.axes]
    assert titles == ["", "cam_2"]


@pytest.mark.rejects
@pytest.mark.usefixtures("recording")
def test_a_video_of_no_camera_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "recording.npz")
    other = str(film(tmp_path / "garden.mp4", 0))
    sentence = refused(["view", path, "--video", other, "--out", str(tmp_path / "a.png")], capsys)
    assert "no camera of the recording is named like garden.mp4; its cameras are cam_1" in sentence
    rest = ["--video", other, "--overwrite", "--out", str(tmp_path / "b.png")]
    main(["view", path, "--map", "cam_1=garden", *rest])
    main(["view", path, "--map", "cam_1=garden.mp4", *rest])
    both = ["--map", "cam_1=garden", "cam_2=nowhere"]
    assert "`map` has no effect on" in refused(["view", path, *both, *rest], capsys)


def test_a_pair_of_a_video_takes_no_camera_from_the_detections(
    recording: Recording, tmp_path: Path
) -> None:
    session = write_session(tmp_path / "session", recording, mmpose)
    other = str(film(session / "garden.mp4", 0))
    command = ["view", str(session), "--map", "cam_1=garden", "--video", other]
    main([*command, "--detected-skeleton", "h36m17", "--out", str(tmp_path / "b.png")])


@pytest.mark.usefixtures("recording")
def test_a_video_of_another_size_is_said(tmp_path: Path) -> None:
    video = film(tmp_path / "cam_1.mp4", 0)
    scene = replace(view_of(tmp_path), fps=open_videos([video])[0].fps)
    assert [*notes_on_scene(with_videos(scene, [video]))] == []
    (recording,) = scene.recordings
    cameras = recording.cameras.resized((2 * WIDTH, 2 * HEIGHT))
    larger = replace(scene, recordings=(replace(recording, cameras=cameras),))
    (note,) = notes_on_scene(with_videos(larger, [video]))
    assert f"pictures of {WIDTH} x {HEIGHT} px, but cam_1 of {2 * WIDTH} x {2 * HEIGHT} px" in note


@pytest.mark.rejects
@pytest.mark.usefixtures("recording")
def test_two_videos_of_one_camera_are_named(tmp_path: Path) -> None:
    videos = [film(tmp_path / name, 0) for name in ("cam1.mp4", "cam_01.mp4")]
    with pytest.raises(ReadError, match=r"one video of cam_1, got cam1\.mp4 and cam_01\.mp4"):
        with_videos(view_of(tmp_path), videos)


@pytest.mark.usefixtures("recording")
def test_a_video_that_is_given_twice_is_named(tmp_path: Path) -> None:
    video = film(tmp_path / "cam_1.mp4", 0)
    again = tmp_path / "more" / ".." / video.name
    (tmp_path / "more").mkdir()
    with pytest.raises(ReadError, match=r"cam_1\.mp4: expected one video per camera, got this one"):
        open_videos([video, again])


def test_a_video_whose_end_is_damaged_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (video,) = open_videos([film(tmp_path / "cam_1.mp4", 0)])
    longer = replace(video, frame_count=video.frame_count + 5)
    assert len([*longer.pictures(range(longer.frame_count))]) == FRAMES
    (said,) = caplog.messages
    assert f"but frame {FRAMES} cannot be read" in said


@pytest.mark.usefixtures("recording")
def test_a_video_of_another_rate_is_said(tmp_path: Path) -> None:
    video = film(tmp_path / "cam_1.mp4", 0)
    (note,) = notes_on_scene(with_videos(view_of(tmp_path), [video]))
    assert "cam_1.mp4 has 10 frames per second, the recording 50: frames of the same" in note
