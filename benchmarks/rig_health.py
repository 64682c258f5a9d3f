"""How often is the fault of a rig named, with its camera, and how often is a sound rig accused?

Each case is a stick figure in a drawn rig of 3 to 6 cameras, with the errors of a detector: 3 px of
jitter, 5 % outliers, occlusion. One thing is done to it, and `camera_agreement` must name it.

    python benchmarks/rig_health.py [--cases 20]
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import tau
from time import process_time

import torch
from findings import Table, keep
from scipy.interpolate import CubicSpline
from torch import Generator, Tensor

from multiview_geom import Cameras, look_at
from selfsup_lifting.agreement import camera_agreement
from selfsup_lifting.files import read_recordings
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.simulation.detector_noise import film
from selfsup_lifting.simulation_settings import NoiseSettings

NOISE = NoiseSettings(jitter_px=3.0, outlier_share=0.05)
SIDE = 1000
# Frames at both ends that are left out, so that a camera can be late.
MARGIN = 5


@dataclass(frozen=True)
class Case:
    """A recording; the camera to which something is done, and another one."""

    recording: Recording
    view: int
    other: int

    @property
    def name(self) -> str:
        """The name of the camera."""
        return self.recording.cameras.names[self.view]


def drawn_rig(generator: Generator, views: int) -> Cameras:
    """Draw cameras around the middle, 3.5 to 6.5 m away."""
    share = torch.rand(6, views, generator=generator, dtype=torch.float64)
    angle = (torch.arange(views) + 0.8 * (share[0] - 0.5)) * tau / views
    distance, height = 3.5 + 3 * share[1], 0.7 + 1.8 * share[2]
    position = torch.stack([distance * angle.cos(), distance * angle.sin(), height], dim=-1)
    target = torch.tensor([0.0, 0.0, 1.0]).double() + 0.3 * (share[3:].T - 0.5)
    focal = 900 + 500 * torch.rand(views, generator=generator, dtype=torch.float64)
    intrinsics = torch.eye(3, dtype=torch.float64).repeat(views, 1, 1)
    intrinsics[:, 0, 0] = intrinsics[:, 1, 1] = focal
    intrinsics[:, :2, 2] = (SIDE - 1) / 2
    size = torch.full((views, 2), SIDE)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    return Cameras(intrinsics, look_at(position, target, up), image_size=size)


def case(seed: int, late: float = 0.0) -> Case:
    """Draw a rig and film a stick figure; one camera may be late by some frames."""
    generator = torch.Generator().manual_seed(seed)
    views = int(torch.randint(3, 7, (), generator=generator))
    view = int(torch.randint(views, (), generator=generator))
    other = (view + 1 + int(torch.randint(views - 1, (), generator=generator))) % views
    filmed = read_recordings(["synthetic"], ReadSettings())
    body = filmed[seed % len(filmed)]
    rig = drawn_rig(generator, views)
    seen = film(rig, _at(body, 0.0), NOISE, generator)
    if late:
        then = film(rig, _at(body, late), NOISE, generator)
        seen.keypoints[:, view], seen.confidence[:, view] = (
            then.keypoints[:, view],
            then.confidence[:, view],
        )
    recording = Recording("case", "S1", "", body.fps, body.skeleton, rig, *seen)
    return Case(recording, view, other)


def _at(body: Recording, late: float) -> Tensor:
    """Return where the joints were some frames before."""
    assert body.truth is not None
    frames = torch.arange(body.frame_count).double().numpy()
    curve = CubicSpline(frames, body.truth.double().numpy())
    return torch.from_numpy(curve(frames[MARGIN:-MARGIN] - late)).float()


def _exchanged(one: Case) -> Recording:
    order = [*range(one.recording.cameras.views)]
    order[one.view], order[one.other] = one.other, one.view
    keypoints, confidence = one.recording.keypoints[:, order], one.recording.confidence[:, order]
    return replace(one.recording, keypoints=keypoints, confidence=confidence)


def _moved(one: Case) -> Recording:
    cameras, draw = one.recording.cameras, torch.Generator().manual_seed(one.view)
    way = torch.randn(3, generator=draw, dtype=torch.float64)
    poses = cameras.camera_from_world.clone()
    poses[one.view, :3, 3] -= poses[one.view, :3, :3] @ (0.1 * way / way.norm())
    return replace(one.recording, cameras=replace(cameras, camera_from_world=poses))


def _with_pixels(one: Case, change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Recording:
    keypoints = one.recording.keypoints.clone()
    x, y = keypoints[:, one.view].unbind(dim=-1)
    keypoints[:, one.view] = torch.stack(change(x, y), dim=-1)
    return replace(one.recording, keypoints=keypoints)


# What is done, by how much the camera is late, and what the cause must say of the case.
FAULTS: dict[str, tuple[Callable[[Case], Recording], float, Callable[[Case], str]]] = {
    "sound rig": (lambda one: one.recording, 0.0, lambda _: ""),
    "two cameras exchanged": (
        _exchanged,
        0.0,
        lambda one: "the detections of {} and {} are exchanged".format(
            *(one.recording.cameras.names[view] for view in sorted([one.view, one.other]))
        ),
    ),
    "moved by 10 cm": (_moved, 0.0, lambda one: f"camera {one.name} was moved by"),
    "mirrored": (
        lambda one: _with_pixels(one, lambda x, y: (SIDE - 1 - x, y)),
        0.0,
        lambda one: f"the x coordinates of camera {one.name} are mirrored",
    ),
    "turned by 90 degrees": (
        lambda one: _with_pixels(one, lambda x, y: (SIDE - 1 - y, x)),
        0.0,
        lambda one: f"the pictures of camera {one.name} are turned by 90 degrees clockwise",
    ),
    "3 frames late": (
        lambda one: one.recording,
        3.0,
        lambda one: f"camera {one.name} is 3 frames late: --sync",
    ),
    "0.4 frames late": (
        lambda one: one.recording,
        0.4,
        lambda one: f"camera {one.name} is 0.",
    ),
    "left and right exchanged": (
        lambda one: one.recording.with_exchanged_sides([one.name]),
        0.0,
        lambda one: f"the left and right joints of camera {one.name} are exchanged",
    ),
}


def health(cases: int) -> Table:
    """Try all faults on the same rigs, and print the wrong answers."""
    table = Table("Faults of drawn rigs", ("named rightly", "rigs", "seconds a rig"))
    for fault, (change, late, expected) in FAULTS.items():
        wrong, start = 0, process_time()
        for seed in range(cases):
            one = case(seed, late)
            agreement = camera_agreement(change(one), thorough=True)
            cause, sentence = "" if agreement is None else agreement.cause, expected(one)
            is_right = cause.startswith(sentence) and cause.count("camera ") <= 1
            if not (is_right if sentence else not cause):
                wrong += 1
                print(f"{fault}, rig {seed}, camera {one.name}: {cause or 'nothing'}", flush=True)
        seconds = (process_time() - start) / cases
        table.rows[fault] = [cases - wrong, cases, seconds]
    return table


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--cases", type=int, default=20)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    found = health(asked.cases)
    found.show()
    keep("rig_health", [found])
