"""Putting views and cameras together: one skeleton, one time axis, pixels, one person."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.association import everybody, largest_person, one_person
from selfsup_lifting.calibration import Rig
from selfsup_lifting.files.tracks.person_frames import frame_range
from selfsup_lifting.files.tracks.view_tracks import Scale, ViewTracks
from selfsup_lifting.read_errors import Place, ReadError, listed
from selfsup_lifting.read_settings import HIGHEST_FPS, LOWEST_FPS, People, ReadSettings
from selfsup_lifting.reader import ReadResult
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.skeleton.infer import skeleton_by_anatomy, skeletons_of_count

# The frame rate of files that do not state one [1/s].
USUAL_FPS = 60.0
# How a frame rate is said to come from times, and not from a statement.
TIMED = "the times in"
# Frame rates of cameras that film motion, slow motion included [1/s].
USUAL_RATES = (1.0, 10_000.0)
# Frames of one number may be apart by this share of a frame without a note.
MOST_APART = 0.25


def assemble(
    name: str,
    rig: Rig,
    views: Sequence[ViewTracks],
    settings: ReadSettings,
    *,
    fps: float | None = None,
    notes: Sequence[str] = (),
) -> list[ReadResult]:
    """Build a recording from the tracks of every camera, or one for each person.

    Args:
        name: The name of the recording and of its subject.
        rig: The cameras.
        views: The tracks of each camera, in the order of the cameras.
        settings: Which person to use if there are several.
        fps: Frames per second of the project, if known [1/s].
        notes: Notes to which those of the cameras and of the views are added.

    Returns:
        The recording of one person, or those of all if the settings say so.

    Raises:
        ReadError: If the cameras differ in their skeleton or their frames, lack the person, or
            have joints of unknown skeleton.
    """
    cameras, views = rig.cameras, _with_known_skeleton(views)
    _require_one_skeleton(views)
    aligned = _same_frames([_in_pixels(view, cameras, at) for at, view in enumerate(views)])
    keypoints, confidence = _stacked(aligned)
    persons = _persons(aligned, cameras, keypoints, settings)
    notes = [*rig.notes, *notes, *_note_on_fractions(name, views)]
    notes += _notes_on_sizes(name, views, cameras)
    notes += chain.from_iterable(view.notes for view in aligned)
    by = [(fps, "the project's configuration")]
    by += [(view.fps, f"{TIMED} {view.source.name}") for view in aligned]
    by.append((settings.source_fps, "--source-fps"))
    stated = [(one, where) for one, where in by if one is not None]
    rates = [one for one, _ in stated if LOWEST_FPS <= one <= HIGHEST_FPS]
    rate = next(iter(rates), USUAL_FPS)
    notes += _notes_on_rates(name, stated)
    notes += _note_on_times(name, views, rate)
    if not rates:
        guess = f"the frame rate is unknown; taken as {rate:g} per s"
        notes.append(f"{name}: {guess}; --source-fps overrules this")
    path, paths = views[0].source, {view.source for view in views}
    place = path if len(paths) == 1 else path.parent
    source = Source(aligned[0].format, place, None, aligned[0].markers, rig.path)
    counts = confidence.amax(dim=-1).gt(0).sum(dim=2).amax(dim=0).tolist()
    people = dict(zip(cameras.names, counts, strict=True))
    notes += _note_on_people(name, people, settings)
    unscored = sum(view.unscored for view in views)
    results = []
    for number, person in enumerate(persons, start=1):
        named = name if len(persons) == 1 else f"{name} person {number}"
        recording = Recording(
            named, named, "capture", rate, aligned[0].skeleton, cameras,
            keypoints=_of_person(keypoints, person, torch.nan),
            confidence=_of_person(confidence[..., None], person, 0.0)[..., 0],
            source=source,
        )  # fmt: skip
        results.append(ReadResult(recording, people, unscored, tuple(notes)))
    return results


def _note_on_times(name: str, views: Sequence[ViewTracks], rate: float) -> Iterator[str]:
    """Yield a note if the times of the files say that frames are not simultaneous."""
    starts = {
        view.camera: view.first_time - view.first_frame / rate
        for view in views
        if view.first_time is not None
    }
    if not starts:
        return
    early, late = min(starts, key=starts.__getitem__), max(starts, key=starts.__getitem__)
    apart = starts[late] - starts[early]
    if apart > MOST_APART / rate:
        yield (
            f"{name}: by their times, frames of the same number are up to {apart:.4g} s apart, "
            f"{late} after {early}; they are taken to be simultaneous"
        )


def _notes_on_rates(name: str, stated: Sequence[tuple[float, str]]) -> Iterator[str]:
    """Yield what looks wrong with the frame rates that files and the user state, and where."""
    first, source = next(iter(stated), (USUAL_FPS, ""))
    # Of several places that state the same rate, the first is named.
    different = {f"{rate:.3g}": where for rate, where in reversed(stated)}
    if len(different) > 1:
        told = [f"{rate} per s by {different[rate]}" for rate in sorted(different, key=float)]
        yield (
            f"{name}: different frame rates are stated, {listed(told)}; "
            f"{first:.3g} is taken, and frames of the same number are taken to be simultaneous"
        )
    low, high = USUAL_RATES
    if not low <= first <= high:
        is_timed = source.startswith(TIMED)
        cause = "; likely cause: times in another unit than seconds" if is_timed else ""
        yield (
            f"{name}: the frame rate is {first:.3g} per s by {source}, usually {low:g} to "
            f"{high:g}{cause}"
        )


def _with_known_skeleton(views: Sequence[ViewTracks]) -> list[ViewTracks]:
    """Choose between skeletons with equally many joints, by the anatomy in all views together."""
    uncertain = [view for view in views if view.candidates]
    counts = {len(view.skeleton.joints) for view in views}
    if not uncertain or len(counts) > 1:  # views with other joints are refused later
        return list(views)
    candidates = uncertain[0].candidates
    parts = [torch.cat([one.keypoints, one.confidence[..., None]], dim=-1) for one in uncertain]
    people = torch.cat([part.flatten(0, 1) for part in parts])
    skeleton = skeleton_by_anatomy(people, candidates)
    if skeleton is None:
        raise Place(uncertain[0].source).error(
            f"{len(uncertain[0].skeleton.joints)} keypoints can be {' or '.join(candidates)}, and "
            "nobody shows the joints that distinguish them; name the skeleton with "
            "--detected-skeleton"
        )
    note = (
        f"{uncertain[0].source.parent}: {len(skeleton.joints)} keypoints were taken for "
        f"{skeleton.name}, by the joints between others; --detected-skeleton overrules this"
    )
    first, *others = (
        replace(view, skeleton=skeleton, candidates=()) if view.candidates else view
        for view in views
    )
    return [replace(first, notes=(*first.notes, note)), *others]


def with_note_on_skeleton(views: Sequence[ViewTracks], stated: str) -> list[ViewTracks]:
    """Add a note if the joints look like another skeleton than the one that a project states."""
    first, *others = views
    candidates = skeletons_of_count(len(first.skeleton.joints))
    if first.skeleton.name not in candidates or len(candidates) == 1 or first.markers:
        return [first, *others]
    parts = [torch.cat([one.keypoints, one.confidence[..., None]], dim=-1) for one in views]
    found = skeleton_by_anatomy(torch.cat([part.flatten(0, 1) for part in parts]), candidates)
    if found is None or found.name == first.skeleton.name:
        return [first, *others]
    note = (
        f"{first.source.parent}: the project's Config.toml states {stated}, but by the joints "
        f"between others, these are those of {found.name}; --detected-skeleton overrules it"
    )
    return [replace(first, notes=(*first.notes, note)), *others]


def _require_one_skeleton(views: Sequence[ViewTracks]) -> None:
    first, *others = views
    for view in others:
        mine, theirs = view.skeleton.joints, first.skeleton.joints
        if mine == theirs:
            continue
        parts = [("lacks", theirs, mine), ("has also", mine, theirs)]
        told = [(has, [one for one in these if one not in those]) for has, these, those in parts]
        differ = "".join(f"; it {has} {listed(names)}" for has, names in told if names)
        raise ReadError(
            f"camera {view.camera} has the skeleton {view.skeleton.name!r}, "
            f"camera {first.camera} {first.skeleton.name!r}{differ}; use one detector model for "
            "all cameras, or name the skeleton with --detected-skeleton"
        )


def _in_pixels(view: ViewTracks, cameras: Cameras, at: int) -> ViewTracks:
    if cameras.image_size is None:
        return view
    width, height = cameras.image_size[at].tolist()
    return view.in_pixels((width, height))


def _note_on_fractions(name: str, views: Sequence[ViewTracks]) -> Iterator[str]:
    """Yield a note on coordinates that are no pixels, which is only known by their size."""
    fractions = [view for view in views if view.scale is not Scale.PIXELS]
    if fractions:
        cameras = ", ".join(view.camera for view in fractions)
        yield (
            f"{name}: the coordinates of {cameras} are {fractions[0].scale.value}; they were taken "
            "for fractions of the image size"
        )


def _notes_on_sizes(name: str, views: Sequence[ViewTracks], cameras: Cameras) -> Iterator[str]:
    """Yield a note on each camera whose file states another size of its picture."""
    sizes = [] if cameras.image_size is None else cameras.image_size.tolist()
    for view, size in zip(views, sizes, strict=False):
        if view.image_size is not None and [*view.image_size] != [*map(round, size)]:
            yield (
                f"{name}: the pictures of {view.camera} are {view.image_size[0]} x "
                f"{view.image_size[1]} px by its file, {size[0]:g} x {size[1]:g} px by the "
                "calibration: were they resized?"
            )


def _same_frames(views: Sequence[ViewTracks]) -> list[ViewTracks]:
    """Align the views in time: by frame number if their files leave out frames."""
    if all(view.frame_files for view in views):
        _require_same_frame_files(views)
    if all(view.whole_span for view in views):
        _require_same_count(views)
    if not all(view.every_frame for view in views):
        return _by_frame_number(views)
    first, *others = views
    starts = sorted({view.first_frame for view in views})
    if len(starts) > 1:
        note = (
            f"{first.source.parent}: the cameras count their frames from {starts}; their first "
            "frames are taken to be simultaneous"
        )
        first = replace(first, notes=(*first.notes, note))
    return [first, *others]


def _require_same_frame_files(views: Sequence[ViewTracks]) -> None:
    """Refuse cameras with different numbers of files, unless they begin and end alike.

    Otherwise it is unknown which frames correspond.
    """
    if len({(view.first_frame, view.last_frame) for view in views}) == 1:
        return
    fewest, most = (choose(views, key=lambda view: len(view.frame_files)) for choose in (min, max))
    if len(fewest.frame_files) < len(most.frame_files):
        lacking = sorted(set(most.frame_files) - set(fewest.frame_files))
        raise ReadError(
            f"camera {fewest.camera} has {len(fewest.frame_files)} frames, camera {most.camera} "
            f"{len(most.frame_files)}; frame {lacking[0] if lacking else '?'} is the first that "
            f"{fewest.camera} lacks: cut the videos to the same frames"
        )


def _require_same_count(views: Sequence[ViewTracks]) -> None:
    first = views[0]
    for view in views[1:]:
        if view.frame_count != first.frame_count:
            raise ReadError(
                f"camera {_camera_and_file(view)} has {view.frame_count} frames, camera "
                f"{_camera_and_file(first)} {first.frame_count}; cut the videos to the same frames"
                + ("" if view.every_frame else ", or add empty rows for frames without a person")
            )


def _camera_and_file(view: ViewTracks) -> str:
    same = view.camera in {view.source.name, view.source.stem}
    return view.source.name if same else f"{view.camera} of {view.source.name}"


def _by_frame_number(views: Sequence[ViewTracks]) -> list[ViewTracks]:
    ends = [frame for view in views for frame in (view.first_frame, view.last_frame)]
    return [_during(view, frame_range(views[0].source.parent, ends)) for view in views]


def _during(view: ViewTracks, frames: range) -> ViewTracks:
    whole = view.during(frames)
    if view.frame_count == len(frames):
        return whole
    note = (
        f"{view.source}: contains frames {view.first_frame} to {view.last_frame} only, other "
        f"cameras {frames[0]} to {frames[-1]}; the rest counts as missing"
    )
    return replace(whole, notes=(*view.notes, note))


def _stacked(
    views: Sequence[ViewTracks],
) -> tuple[
    Float[Tensor, "frames views people joints 2"], Float[Tensor, "frames views people joints"]
]:
    """Stack the views; the people that a view lacks are missing."""
    people = max(view.keypoints.shape[1] for view in views)
    frames, joints = views[0].frame_count, len(views[0].skeleton.joints)
    keypoints = torch.full((frames, len(views), people, joints, 2), torch.nan)
    confidence = torch.zeros(frames, len(views), people, joints)
    for at, view in enumerate(views):
        keypoints[:, at, : view.keypoints.shape[1]] = view.keypoints
        confidence[:, at, : view.keypoints.shape[1]] = view.confidence
    return keypoints, confidence


def _persons(
    views: Sequence[ViewTracks],
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views people joints 2"],
    settings: ReadSettings,
) -> list[Int[Tensor, "frames views"]]:
    """Return the index of each person to use in every frame and view; -1 if absent."""
    if settings.person is not None:
        _require_identities(views, settings.person)
        indices = torch.tensor([_index_of(view, settings.person) for view in views])
        return [indices.expand(keypoints.shape[:2])]
    if keypoints.shape[2] == 1:
        return [torch.zeros(keypoints.shape[:2], dtype=torch.long)]
    if settings.people is People.ALL and cameras.views > 1:
        return everybody(cameras, keypoints)
    if settings.people is People.LARGEST:
        return [largest_person(keypoints)]
    return [one_person(cameras, keypoints)]


def _require_identities(views: Sequence[ViewTracks], person: str) -> None:
    """Refuse a camera whose people have no names or track ids, as those of others have."""
    named = next((view for view in views if view.people), None)
    for view in views:
        if named is not None and not view.people and bool((view.confidence > 0).any()):
            raise Place(view.source).error(
                f"expected people with names or track ids, as in {named.source.name}, to find the "
                f"person {person!r}, got people without"
            )


def _note_on_people(name: str, people: Mapping[str, int], settings: ReadSettings) -> Iterator[str]:
    """Yield a note on the person who is followed where there are several."""
    crowded = [camera for camera, count in people.items() if count > 1]
    if crowded and settings.person is None:
        followed = {
            People.CONSISTENT: "the one on whom the cameras agree best is followed",
            People.LARGEST: "the largest one in every picture is used",
            People.ALL: "each becomes a recording"
            if len(people) > 1
            else "one camera does not show who is who over time, and one is followed as by default",
        }[settings.people]
        cameras = ", ".join(f"{camera} (up to {people[camera]})" for camera in crowded)
        yield f"{name}: several people in {cameras}; {followed}; --people and --person choose"


def _index_of(view: ViewTracks, person: str) -> int:
    if person in view.people:
        return view.people.index(person)
    if not view.people and person.isdigit() and int(person) < view.keypoints.shape[1]:
        return int(person)
    lost = "names are kept if all people have one, and there are few people; here, "
    known = f"known are {', '.join(view.people)}"
    if not view.people:
        known = f"{lost}people have the numbers 0 to {view.keypoints.shape[1] - 1}"
    raise Place(view.source).error(f"there is no person {person!r}; {known}")


def _of_person(
    values: Float[Tensor, "frames views people joints channels"],
    person: Int[Tensor, "frames views"],
    absent: float,
) -> Float[Tensor, "frames views joints channels"]:
    index = person.clamp(min=0)[:, :, None, None, None]
    chosen = values.take_along_dim(index, dim=2)[:, :, 0]
    return torch.where(person[:, :, None, None] >= 0, chosen, absent)
