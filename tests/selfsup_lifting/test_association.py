"""Laws of telling who is who."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from multiview_geom import Cameras, ring_of_cameras, triangulate_dlt
from selfsup_lifting import association
from selfsup_lifting.association import everybody, largest_person, one_person
from selfsup_lifting.files import read_recordings, read_results
from selfsup_lifting.read_settings import People, ReadSettings
from tests.selfsup_lifting.files.layouts import save_calibration


@dataclass(frozen=True)
class Room:
    """A person whom all cameras see and bystanders whom some see, in shuffled order."""

    views: int = 4
    frames: int = 6
    bystander_views: int = 1
    distance: float = 1.5
    noise_px: float = 0.0
    seed: int = 0

    def cameras(self) -> Cameras:
        return ring_of_cameras(self.views, 5.0, 1.5, target_height=1.0, dtype=torch.float64)

    def seen(self) -> tuple[Tensor, Tensor]:
        """Return everybody's keypoints, and where the person stands in each list."""
        generator = torch.Generator().manual_seed(self.seed)
        body = 0.4 * torch.randn(17, 3, generator=generator, dtype=torch.float64)
        step = torch.arange(self.frames, dtype=torch.float64)[:, None, None]
        person = body + torch.tensor([0.0, 0.0, 1.0]) + step * torch.tensor([0.03, 0.01, 0.0])
        bystander = body.flip(0) + torch.tensor([self.distance, 0.4, 1.0]) + 0 * step
        cameras = self.cameras()
        pixels = torch.stack(
            [self._film(cameras, person, generator), self._film(cameras, bystander, generator)], 2
        )
        pixels[:, self.bystander_views :, 1] = torch.nan
        swapped = torch.rand(self.frames, self.views, generator=generator) < 0.5
        shuffled = torch.where(swapped[..., None, None, None], pixels.flip(2), pixels)
        return shuffled.float(), swapped.long()

    def _film(self, cameras: Cameras, points: Tensor, generator: torch.Generator) -> Tensor:
        pixels = cameras.project(points.flatten(0, 1)).pixels.unflatten(1, (self.frames, -1))
        noise = torch.randn(pixels.shape, generator=generator, dtype=torch.float64)
        return (pixels + self.noise_px * noise).transpose(0, 1)


rooms = st.builds(
    Room,
    views=st.integers(3, 5),
    frames=st.integers(2, 8),
    bystander_views=st.integers(0, 2),
    distance=st.floats(1.0, 2.0),
    noise_px=st.floats(0.0, 8.0),
    seed=st.integers(0, 1000),
)


@given(rooms)
def test_the_person_is_whom_the_cameras_agree_on(room: Room) -> None:
    keypoints, person = room.seen()
    assert torch.equal(one_person(room.cameras(), keypoints), person)


@given(rooms)
def test_the_order_of_the_people_does_not_matter(room: Room) -> None:
    keypoints, _ = room.seen()
    who = one_person(room.cameras(), keypoints)
    assert torch.equal(one_person(room.cameras(), keypoints.flip(2)), 1 - who)


@given(rooms)
def test_the_order_of_the_views_does_not_matter(room: Room) -> None:
    keypoints, _ = room.seen()
    names = range(room.views)
    who = one_person(room.cameras(), keypoints)
    back = one_person(room.cameras().select([*names][::-1]), keypoints.flip(1))
    assert torch.equal(back.flip(1), who)


def test_of_two_whom_all_cameras_see_the_recording_stays_with_one() -> None:
    keypoints, person = Room(views=4, frames=20, bystander_views=4).seen()
    who = one_person(Room().cameras(), keypoints)
    assert (who == person).all() or (who == 1 - person).all()


def test_a_view_that_sees_only_somebody_else_sees_nobody() -> None:
    room = Room(views=4, bystander_views=1, distance=2.0)
    keypoints, person = room.seen()
    frame, place = 3, int(person[3, 0])
    keypoints[frame, 0, place] = torch.nan
    who = one_person(room.cameras(), keypoints)
    assert who[frame, 0] == -1
    assert torch.equal(who[:, 1:], person[:, 1:])


def test_a_frame_with_nobody_is_a_gap_and_no_end() -> None:
    room = Room(frames=8)
    keypoints, person = room.seen()
    keypoints[4] = torch.nan
    who = one_person(room.cameras(), keypoints)
    assert (who[4] == -1).all()
    assert torch.equal(who[5:], person[5:])


def test_one_camera_follows_whom_it_followed() -> None:
    keypoints, _ = Room(views=3, frames=12, bystander_views=3, distance=1.2).seen()
    alone = keypoints[:, :1]
    who = one_person(Room(views=3).cameras().select([0]), alone)
    nearest = everybody(Room(views=3).cameras().select([0]), alone[:, :, :1])
    assert [one.tolist() for one in nearest] == [[[0]] * 12]
    followed = alone[torch.arange(12), 0, who[:, 0]]
    assert followed.diff(dim=0).norm(dim=-1).max() < 60


def test_the_largest_is_chosen_frame_by_frame() -> None:
    keypoints = torch.full((2, 1, 2, 3, 2), 10.0)
    keypoints[0, 0, 1, 0] = 90.0
    keypoints[1] = torch.nan
    assert largest_person(keypoints).tolist() == [[1], [-1]]


@pytest.mark.parametrize(
    "calibration", ["calibration/Calib_qualisys.toml", "calibration-scene/Calib_scene.toml"]
)
def test_in_the_real_capture_it_is_the_person_whom_pose2sim_associated(
    capture_folder: Path, calibration: str
) -> None:
    settings = ReadSettings(cameras=capture_folder / calibration)
    (associated,) = read_recordings([str(capture_folder)], settings)
    (found,) = read_recordings([str(capture_folder / "pose")], settings)
    apart = (associated.keypoints - found.keypoints).abs().nan_to_num(0.0).amax(dim=(-2, -1)) > 0
    missing = associated.keypoints.isnan() != found.keypoints.isnan()
    assert (apart | missing.any(dim=-1).any(dim=-1)).sum(dim=0).max() <= 2


def test_the_user_may_want_the_largest(capture_folder: Path) -> None:
    settings = ReadSettings(people=People.LARGEST)
    (recording,) = read_recordings([str(capture_folder / "pose")], settings)
    assert recording.keypoints.isfinite().all(dim=-1).float().mean() > 0.9


def test_a_person_far_from_the_origin_of_the_world_is_followed_as_near_it() -> None:
    near = read_recordings(["synthetic"], ReadSettings())[0].frames(slice(0, 20))
    people = torch.stack([near.keypoints, near.keypoints.flip(0) + 40.0], dim=2)
    shift = torch.eye(4, dtype=torch.float64)
    shift[:3, 3] = torch.tensor([-456_000.0, -5_432_000.0, -200.0])
    far = replace(near.cameras, camera_from_world=near.cameras.camera_from_world @ shift)
    assert torch.equal(one_person(far, people), one_person(near.cameras, people))


def test_everybody_is_followed_one_by_one() -> None:
    person = read_recordings(["synthetic"], ReadSettings())[0].frames(slice(0, 12))
    moved = person.truth + torch.tensor([0.0, 1.2, 0.0])
    other = person.cameras.project(moved.double()).pixels.float()
    exact = person.cameras.project(person.truth.double()).pixels.float()
    people = torch.stack([exact, other], dim=2)
    people[6:] = people[6:].flip(2)
    found = everybody(person.cameras, people)
    assert len(found) == 2
    first, second = (torch.stack([one.float().mean(dim=1)]) for one in found)
    assert_close(first + second, torch.ones_like(first), rtol=0, atol=0)
    assert all((one == one[:, :1]).all() for one in found)
    assert all((one[5] != one[6]).all() for one in found)


def test_no_more_people_are_followed_than_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    room = Room(bystander_views=4)
    keypoints, _ = room.seen()
    whole = everybody(room.cameras(), keypoints)
    assert len(whole) == 2
    monkeypatch.setattr(association, "MOST_PEOPLE", 1)
    (first,) = everybody(room.cameras(), keypoints)
    assert torch.equal(first, whole[0])


@given(rooms)
def test_each_is_whom_one_would_follow_among_those_who_are_left(room: Room) -> None:
    cameras = room.cameras()
    seen, _ = replace(room, bystander_views=room.views).seen()
    left = torch.cat([seen, seen + 2.0], dim=2)  # as where a detector finds everybody twice
    for person in everybody(cameras, left.clone()):
        assert torch.equal(person, one_person(cameras, left))
        left[person[..., None] == torch.arange(4)] = torch.nan


def test_all_people_become_recordings(tmp_path: Path) -> None:
    person = read_recordings(["synthetic"], ReadSettings())[0].frames(slice(0, 12))
    person = person.select_views(["cam_1", "cam_2"])
    other = person.cameras.project(person.truth.double() + torch.tensor([0.0, 1.2, 0.0])).pixels
    exact = person.cameras.project(person.truth.double()).pixels
    save_calibration(tmp_path / "calibration.toml", person, ["cam1", "cam2"])
    for view in range(2):
        frames = [
            {"frame_id": at, "instances": [
                {"keypoints": pixels[at, view].tolist()} for pixels in (exact, other)
            ]}
            for at in range(12)
        ]  # fmt: skip
        (tmp_path / f"cam{view + 1}.json").write_text(json.dumps(frames))
    settings = ReadSettings(people=People.ALL, detected_skeleton="h36m17")
    results = read_results(str(tmp_path), settings)
    names = [result.recording.name for result in results]
    assert names == [f"{tmp_path.name} person 1", f"{tmp_path.name} person 2"]
    assert (
        "several people in cam1 (up to 2), cam2 (up to 2); each becomes a recording"
        in results[0].notes[-1]
    )


def test_a_crowd_in_one_frame_is_compared_in_that_frame_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count = 0

    def counted(projections: Tensor, pixels: Tensor) -> Tensor:
        nonlocal count
        count += len(pixels)
        return triangulate_dlt(projections, pixels)

    monkeypatch.setattr(association, "triangulate_dlt", counted)
    room = Room(views=2, frames=10, bystander_views=0)
    keypoints, person = room.seen()
    own = keypoints.take_along_dim(person[:, :, None, None, None], dim=2)
    crowd = torch.full((10, 2, 50, *own.shape[3:]), torch.nan)
    crowd[:, :, :1] = own
    crowd[4, 0] = own[4, 0]
    one_person(room.cameras(), crowd)
    assert count == 9 + 50
