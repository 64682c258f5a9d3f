"""Tracks and cameras to a take: the same frames, pixels and one person."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.association import largest_person, one_person
from selfsup_lifting.config import People, ReadSettings
from selfsup_lifting.files.detectors.person_frames import covering_range
from selfsup_lifting.files.detectors.view_tracks import ViewTracks
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import ReadError, Recording, Source
from selfsup_lifting.skeleton.infer import told_by_anatomy


def assemble(
    name: str,
    cameras: Cameras,
    views: Sequence[ViewTracks],
    settings: ReadSettings,
    *,
    fps: float | None = None,
    notes: Sequence[str] = (),
) -> ReadResult:
    """Make a take of what every camera saw.

    Args:
        name: What the take is called; also its subject.
        cameras: The rig.
        views: What each camera's files say, in the order of the rig.
        settings: Who is meant among several people.
        fps: Frames per second where the project tells them [1/s].
        notes: What a user should know already.

    Returns:
        The take, of one person.

    Raises:
        ReadError: If the cameras differ in their skeleton or their frames, or lack the person, or
            if nothing tells what the joints are.
    """
    views = _settled(views)
    _require_one_skeleton(views)
    aligned = _same_frames([_in_pixels(view, cameras, at) for at, view in enumerate(views)])
    keypoints, confidence = _stacked(aligned)
    who = _who(aligned, cameras, keypoints, settings)
    rate = fps or next((view.fps for view in aligned if view.fps), None)
    notes = [*notes, *(note for view in aligned for note in view.notes)]
    if rate is None:
        notes.append(
            f"{name}: nothing says how many frames a second has; taken as {settings.source_fps:g}"
        )
    recording = Recording(
        name=name,
        subject=name,
        action="capture",
        fps=rate or settings.source_fps,
        skeleton=aligned[0].skeleton,
        cameras=cameras,
        keypoints=_of_person(keypoints, who, torch.nan),
        confidence=_of_person(confidence[..., None], who, 0.0)[..., 0],
        source=Source(aligned[0].layout, _common_path(views)),
    )
    people = [int(view.confidence.amax(dim=-1).gt(0).sum(dim=1).max()) for view in aligned]
    return ReadResult(
        recording,
        dict(zip(cameras.names, people, strict=False)),
        tuple(notes),
    )


def _common_path(views: Sequence[ViewTracks]) -> Path:
    """Return the file of all views, or else the folder in which their files lie."""
    paths = {view.source for view in views}
    return paths.pop() if len(paths) == 1 else views[0].source.parent


def _settled(views: Sequence[ViewTracks]) -> list[ViewTracks]:
    """Choose among the skeletons that a number of joints may be, once over all cameras.

    The cameras of one take share a detector: who turns his back on one tells it to another.
    """
    unsure = [view for view in views if view.rivals]
    if not unsure:
        return list(views)
    rivals = unsure[0].rivals
    people = [torch.cat([view.keypoints, view.confidence[..., None]], dim=-1) for view in unsure]
    found = told_by_anatomy(torch.cat([of_view.flatten(0, 1) for of_view in people]), rivals)
    if found is None:
        raise ReadError(
            f"{unsure[0].source}: {len(unsure[0].skeleton.joints)} keypoints may be "
            f"{' or '.join(rivals)}, and nobody shows the joints that tell which; say it with "
            "--detected-skeleton"
        )
    return [replace(view, skeleton=found, rivals=()) if view.rivals else view for view in views]


def _require_one_skeleton(views: Sequence[ViewTracks]) -> None:
    first = views[0]
    for view in views[1:]:
        if view.skeleton.joints != first.skeleton.joints:
            raise ReadError(
                f"camera {view.camera} has the skeleton {view.skeleton.name!r}, "
                f"camera {first.camera} {first.skeleton.name!r}; detect all with one model, "
                "or say which it was with --detected-skeleton"
            )


def _in_pixels(view: ViewTracks, cameras: Cameras, at: int) -> ViewTracks:
    if cameras.image_size is None:
        return view
    width, tall = cameras.image_size[at].tolist()
    return view.in_pixels((width, tall))


def _same_frames(views: Sequence[ViewTracks]) -> list[ViewTracks]:
    """Lay the views over each other: by frame number where files leave frames out."""
    if all(view.whole_span for view in views):
        _require_same_count(views)
    if not all(view.every_frame for view in views):
        return _by_frame_number(views)
    first = views[0]
    starts = sorted({view.first_frame for view in views})
    if len(starts) > 1:
        note = f"{first.source.parent}: cameras count from {starts}; laid over each other in order"
        return [replace(first, notes=(*first.notes, note)), *views[1:]]
    return list(views)


def _require_same_count(views: Sequence[ViewTracks]) -> None:
    first = views[0]
    for view in views[1:]:
        if view.frame_count != first.frame_count:
            raise ReadError(
                f"camera {_named(view)} has {view.frame_count} frames, camera {_named(first)} "
                f"{first.frame_count}; cut the videos to the same frames"
                + ("" if view.every_frame else ", or add empty rows where nobody is seen")
            )


def _named(view: ViewTracks) -> str:
    """Name a camera, and its file where that is called otherwise."""
    alike = view.camera in {view.source.name, view.source.stem}
    return view.source.name if alike else f"{view.camera} of {view.source.name}"


def _by_frame_number(views: Sequence[ViewTracks]) -> list[ViewTracks]:
    ends = [
        end for view in views for end in (view.first_frame, view.first_frame + view.frame_count - 1)
    ]
    frames = covering_range(views[0].source.parent, ends)
    return [_padded(view, frames) for view in views]


def _padded(view: ViewTracks, frames: range) -> ViewTracks:
    laid = view.during(frames)
    if view.frame_count == len(frames):
        return laid
    last = view.first_frame + view.frame_count - 1
    note = (
        f"{view.source}: tells of frames {view.first_frame} to {last} only, other cameras of "
        f"{frames[0]} to {frames[-1]}; the rest counts as missing"
    )
    return replace(laid, notes=(*view.notes, note))


def _stacked(
    views: Sequence[ViewTracks],
) -> tuple[
    Float[Tensor, "frames views people joints 2"], Float[Tensor, "frames views people joints"]
]:
    """Put the views together; views with fewer people are filled with nobody."""
    people = max(view.keypoints.shape[1] for view in views)
    frames, joints = views[0].frame_count, len(views[0].skeleton.joints)
    keypoints = torch.full((frames, len(views), people, joints, 2), torch.nan)
    confidence = torch.zeros(frames, len(views), people, joints)
    for at, view in enumerate(views):
        keypoints[:, at, : view.keypoints.shape[1]] = view.keypoints
        confidence[:, at, : view.keypoints.shape[1]] = view.confidence
    return keypoints, confidence


def _who(
    views: Sequence[ViewTracks],
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views people joints 2"],
    settings: ReadSettings,
) -> Int[Tensor, "frames views"]:
    if settings.person is not None:
        places = torch.tensor([_place_of(view, settings.person) for view in views])
        return places.expand(keypoints.shape[:2])
    if keypoints.shape[2] == 1:
        return torch.zeros(keypoints.shape[:2], dtype=torch.long)
    if settings.people is People.LARGEST:
        return largest_person(keypoints)
    return one_person(cameras, keypoints)


def _place_of(view: ViewTracks, person: str) -> int:
    if person in view.people:
        return view.people.index(person)
    if not view.people and person.isdigit() and int(person) < view.keypoints.shape[1]:
        return int(person)
    known = view.people or tuple(str(place) for place in range(view.keypoints.shape[1]))
    raise ReadError(f"{view.source}: there is no person {person!r}; known are {', '.join(known)}")


def _of_person(
    values: Float[Tensor, "frames views people joints channels"],
    who: Int[Tensor, "frames views"],
    absent: float,
) -> Float[Tensor, "frames views joints channels"]:
    place = who.clamp(min=0)[:, :, None, None, None]
    taken = values.take_along_dim(place, dim=2)[:, :, 0]
    return torch.where(who[:, :, None, None] >= 0, taken, absent)
