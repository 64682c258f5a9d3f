"""How well are people of an operating room triangulated, and matched across three views?

The data are MVOR (Srivastav et al., LABELS 2018): three cameras, several clinicians, much
occlusion; published OpenPose detections and 3D annotations. The script writes detections and
calibration as files of known formats, and reads them with the public readers. First, annotated and
detected joints are triangulated and compared with the 3D annotations. Then the raw detections of
every triplet of pictures are matched across the views: a person is found if one group holds
detections of the person in two views, and right if it holds nobody else's.

    python benchmarks/operating_room.py ../shared/data/operating-room
"""

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import Cameras, invert_transform, save_cameras
from selfsup_lifting.association import everybody
from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.files import read_recordings
from selfsup_lifting.files.detectors import read_tracks
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.triangulate import triangulate_recording

SKELETON = """\
joints = ["head", "neck", "left_shoulder", "right_shoulder", "left_hip", "right_hip",
    "left_elbow", "right_elbow", "left_wrist", "right_wrist"]
bones = []
root = ["left_hip", "right_hip"]
"""
VIEWS, JOINTS = 3, 10
PLAIN = TriangulationSettings(method=Method.DLT)
# An image id is day, camera and frame: 1 001 0000017.
DAY, CAMERA = 10_000_000_000, 10_000_000
# Joints of the published match and of the raw detection are the same numbers, up to rounding [px].
SAME_PX = 0.5


def rig(annotations: dict[str, Any]) -> Cameras:
    """Return the cameras in meters; the world is the frame of the first camera.

    The published coefficients are k1, k2, k3, p1, p2; OpenCV's order is k1, k2, p1, p2, k3.
    """
    parameters = annotations["cameras_info"]["camParams"]
    lenses = parameters["intrinsics"]
    K = torch.zeros(VIEWS, 3, 3, dtype=torch.float64)
    for view, lens in enumerate(lenses):
        K[view, [0, 1], [0, 1]] = torch.tensor(lens["focallength"], dtype=torch.float64)
        K[view, :2, 2] = torch.tensor(lens["principalpoint"], dtype=torch.float64)
        K[view, 2, 2] = 1.0
    k1, k2, k3, p1, p2 = torch.tensor([lens["distortion"] for lens in lenses]).double().unbind(1)
    poses = torch.tensor(parameters["extrinsics"], dtype=torch.float64).reshape(VIEWS, 4, 4)
    cameras = Cameras(
        K,
        invert_transform(poses),
        torch.stack([k1, k2, p1, p2, k3], dim=1),
        torch.tensor([lens["imagesize"] for lens in lenses]),
        tuple(f"cam{view + 1}" for view in range(VIEWS)),
    )
    return cameras.scaled(0.001)


def written(folder: Path, cameras: Cameras, people: list[list[dict[str, Any]]]) -> ReadSettings:
    """Write COCO results of every camera and the calibration; return how to read them."""
    save_cameras(folder / "calibration.toml", cameras)
    (folder / "skeleton.toml").write_text(SKELETON)
    for view, seen in enumerate(people):
        (folder / f"cam{view + 1}.json").write_text(json.dumps(seen))
    return ReadSettings(detected_skeleton=str(folder / "skeleton.toml"), unit="m", source_fps=1.0)


def one_person(cameras: Cameras, keypoints: Float[Tensor, "poses views joints 3"]) -> Recording:
    """Write the people of many poses as frames of one recording, and read it."""
    people = [
        [
            {
                "image_id": pose,
                "category_id": 1,
                "keypoints": row.nan_to_num(0.0).flatten().tolist(),
                "score": 1.0,
            }
            for pose, row in enumerate(keypoints[:, view])
        ]
        for view in range(VIEWS)
    ]
    with tempfile.TemporaryDirectory() as home:
        settings = written(Path(home), cameras, people)
        (recording,) = read_recordings([home], settings)
    return recording


def print_errors(
    title: str, recording: Recording, truth: Tensor, counted: Bool[Tensor, "poses joints"]
) -> None:
    """Print the distance from the 3D annotations, by the number of views."""
    points = triangulate_recording(recording, PLAIN).points
    errors = 1000 * (points - truth).norm(dim=-1)
    views = recording.keypoints.isfinite().all(dim=-1).sum(dim=1)
    for count in (3, 2):
        chosen = errors[counted & (views == count) & errors.isfinite()]
        median, p90 = chosen.quantile(torch.tensor([0.5, 0.9]).double()).tolist()
        print(f"{title:40s}{count} views{len(chosen):7d} joints{median:8.1f}{p90:8.1f} mm")


def print_triangulation(cameras: Cameras, matched: dict[str, Any]) -> None:
    """Compare annotated and detected joints in 2D with the 3D annotations."""
    truth = torch.from_numpy(matched["truth"]).double()
    known = truth.isfinite().all(dim=-1)
    visible = torch.from_numpy(matched["annotated_visible"])
    annotated = torch.from_numpy(matched["annotated_2d"])
    print(f"{'triangulated by DLT':55s}{'':7s}{'median':>10s}{'p90':>8s}")
    pixels = torch.where(visible[..., None], annotated, torch.nan)
    scores = pixels.isfinite().all(dim=-1, keepdim=True).float()
    recording = one_person(cameras, torch.cat([pixels, scores], dim=-1))
    print_errors("annotated and visible in 2D", recording, truth, known)
    found = torch.from_numpy(matched["keypoints"])
    scores = torch.from_numpy(matched["confidence"])
    pixels = torch.where((visible & (scores > 0))[..., None], found, torch.nan)
    scores = torch.where(pixels.isfinite().all(dim=-1), scores, 0.0)
    recording = one_person(cameras, torch.cat([pixels, scores[..., None]], dim=-1))
    print_errors("OpenPose at the same joints", recording, truth, known)


def raw_detections(
    cameras: Cameras, detections: list[dict[str, Any]], triplets: dict[tuple[int, int], int]
) -> Float[Tensor, "triplets views people joints 2"]:
    """Read everybody whom OpenPose found, with the triplets as frames."""
    people: list[list[dict[str, Any]]] = [[] for _ in range(VIEWS)]
    for one in detections:
        day, rest = divmod(one["image_id"], DAY)
        camera, frame = divmod(rest, CAMERA)
        if (day, frame) in triplets:
            people[camera - 1].append({**one, "image_id": triplets[day, frame]})
    with tempfile.TemporaryDirectory() as home:
        settings = written(Path(home), cameras, people)
        views = [
            read_tracks(Path(home) / f"cam{view + 1}.json", settings.detected_skeleton)[0]
            for view in range(VIEWS)
        ]
    most = max(view.keypoints.shape[1] for view in views)
    keypoints = torch.full((len(triplets), VIEWS, most, JOINTS, 2), torch.nan)
    for at, view in enumerate(views):
        keypoints[:, at, : view.keypoints.shape[1]] = view.during(range(len(triplets))).keypoints
    return keypoints


def index_of(person: Float[Tensor, "joints 2"], people: Float[Tensor, "people joints 2"]) -> int:
    """Return which raw detection a matched one is; -1 if it is none of them."""
    apart = (people - person).norm(dim=-1).nanmedian(dim=-1).values.nan_to_num(torch.inf)
    return int(apart.argmin()) if float(apart.min()) < SAME_PX else -1


def print_association(
    cameras: Cameras, matched: dict[str, Any], detections: list[dict[str, Any]]
) -> None:
    """Match the raw detections of every triplet across the views, and count who is found."""
    frames = sorted(set(zip(matched["day"].tolist(), matched["frame"].tolist(), strict=True)))
    triplets = {one: at for at, one in enumerate(frames)}
    keypoints = raw_detections(cameras, detections, triplets)
    groups = [everybody(cameras, keypoints[at : at + 1]) for at in range(len(triplets))]
    known = torch.from_numpy(matched["keypoints"])
    found = right = whole = 0
    people = 0
    for pose, place in enumerate(zip(matched["day"], matched["frame"], strict=True)):
        at = triplets[int(place[0]), int(place[1])]
        own = torch.tensor([index_of(known[pose, v], keypoints[at, v]) for v in range(VIEWS)])
        if int((own >= 0).sum()) < 2:
            continue
        people += 1
        same = [((group[0] == own) & (own >= 0)).sum().item() for group in groups[at]]
        best = int(np.argmax(same))
        group = groups[at][best][0]
        if same[best] >= 2:
            found += 1
            right += bool(((group == own) | (group < 0) | (own < 0)).all())
            whole += bool(((group == own) | (own < 0)).all())
    print(f"\n{len(triplets)} triplets, {people} people detected in two or three views")
    print(f"found in one group with two views      {found / people:8.1%}")
    print(f"found, and in a group without others   {right / people:8.1%}")
    print(f"found in all views that detected them  {whole / people:8.1%}")


def main() -> None:
    """Parse the options and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    annotations = json.loads((folder / "annotations.json").read_text())
    detections = json.loads((folder / "openpose.json").read_text())
    with np.load(folder / "matched.npz") as file:
        matched = {name: file[name] for name in file.files}
    cameras = rig(annotations)
    print_triangulation(cameras, matched)
    print_association(cameras, matched, detections)


if __name__ == "__main__":
    main()
