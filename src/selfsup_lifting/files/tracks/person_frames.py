"""People found in single frames, arranged by frame and person."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, isnan
from pathlib import Path
from statistics import median

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.tracks.view_tracks import ViewTracks, view_tracks
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.skeleton.infer import body_by_count
from selfsup_lifting.skeleton.skeletons import Skeleton

# A longer gap between two frame numbers means that one of them is damaged.
LONGEST_GAP = 100_000
# A tracker that gives more identities has lost people again and again: the identities mean
# little, and each would need memory in every frame.
MOST_IDENTITIES = 32
# Each person needs memory in every frame, and following one of many takes the square of it.
MOST_PEOPLE = 256
# Of so many frames, at least this share must be in the file: else the numbers are damaged.
LONG, LEAST_SHARE = 1_000_000, 0.01
# No time is later, in any unit.
LATEST = 1e18
# Between frames, the time usually advances by the same; a step so much longer lacks frames.
LONG_STEP = 1.5
# If more of the steps are longer, or zero, and so many, it is the clock that is coarse.
MANY_STEPS, SEVERAL = 0.1, 5


@dataclass(frozen=True)
class PersonFrame:
    """One person in one frame: x, y and confidence of every joint, as in the file.

    `kind` is the class or category of what was found, if the file has it.
    """

    frame: int
    numbers: Float[Tensor, "joints 3"]
    person: str | None = None
    kind: str | None = None


def tracks_of_people(
    source: Path,
    format: str,
    people: Sequence[PersonFrame],
    frames: Sequence[int],
    declared: Skeleton | None,
    *,
    files: Mapping[int, Path] | None = None,
) -> ViewTracks:
    """Build the tracks of one camera from the people in its frames.

    Args:
        source: The file or folder; its name is the camera's.
        format: The program that wrote it.
        people: Everybody who was found, in any order of frames.
        frames: The numbers of all frames in the file, also those without a person.
        declared: The skeleton that the user or the project declares, or None.
        files: The file of each frame, for the message of an error, if each has its own.

    Returns:
        The tracks; frames that the file skips are missing.

    Raises:
        ReadError: If people differ in their number of joints, or the skeleton is unknown.
    """
    _require_one_joint_count(source, people, files)
    covered = frame_range(source, [*frames, *(person.frame for person in people)])
    if not covered:
        raise Place(source).error("expected at least one frame, got none")
    if not people:
        people = [PersonFrame(covered.start, _missing_person(source, declared))]
    numbers, names = arrange_people(source, people, covered)
    body = body_by_count(source, len(people[0].numbers), declared)
    notes = (
        *skipped_frames_note(source, frames), *_note_on_kinds(source, people),
        *note_on_identities(source, people),
    )  # fmt: skip
    return view_tracks(
        source.stem, source, format, body, numbers,
        first_frame=covered.start, people=names, notes=notes,
    )  # fmt: skip


def arrange_people(
    source: Path, people: Sequence[PersonFrame], frames: range
) -> tuple[Float[Tensor, "frames people joints 3"], tuple[str, ...]]:
    """Arrange people with equally many joints by frame and person.

    Args:
        source: The file or folder, for the message of an error.
        people: Everybody who was found, in any order of frames.
        frames: The frame numbers that the result covers.

    Returns:
        The numbers, NaN where nobody was found, and the names of the people. People have a name
        and keep their index if each was tracked; else they are in the order of the file.

    Raises:
        ReadError: If a frame contains a person twice.
    """
    names = _identities(people)
    found: Counter[int] = Counter()
    numbers: dict[tuple[int, int], Tensor] = {}
    for person in people:
        index = names.index(person.person) if names and person.person else found[person.frame]
        found[person.frame] += 1
        if (person.frame, index) in numbers:
            raise Place(source, frame=person.frame).error(f"contains person {person.person} twice")
        numbers[person.frame, index] = person.numbers
    count = len(names) or max(found.values(), default=1)
    if count > MOST_PEOPLE:
        crowded = max(found, key=found.__getitem__)
        raise Place(source, frame=crowded).error(
            f"expected at most {MOST_PEOPLE} people in a frame, got {count}"
        )
    joints = people[0].numbers.shape[0] if people else 0
    arranged = torch.full((len(frames), count, joints, 3), torch.nan)
    for (frame, index), joints_of_person in numbers.items():
        arranged[frame - frames.start, index] = joints_of_person
    return arranged, names


def frame_range(source: Path, frames: Sequence[int]) -> range:
    """Return the range that covers all frame numbers; a ReadError reports a damaged number."""
    ordered = sorted(set(frames))
    for earlier, later in pairwise(ordered):
        if later - earlier > LONGEST_GAP:
            raise Place(source, frame=later).error(
                f"follows frame {earlier}; a gap of more than {LONGEST_GAP} frames means that "
                "the frame number is damaged, or that these are not the frames of one video"
            )
    covered = range(ordered[0], ordered[-1] + 1) if ordered else range(0)
    if len(covered) > LONG and len(ordered) < LEAST_SHARE * len(covered):
        raise Place(source).error(
            f"has {len(ordered)} of the frames {covered.start} to {covered.stop - 1}; the frame "
            "numbers are damaged"
        )
    return covered


def skipped_frames_note(source: Path, frames: Sequence[int]) -> tuple[str, ...]:
    """Return a note on the frames that a file skips; empty if it skips none."""
    present = sorted(set(frames))
    skipped = [earlier + 1 for earlier, later in pairwise(present) if later - earlier > 1]
    if not skipped:
        return ()
    span = present[-1] - present[0] + 1
    return (
        f"{source}: {span - len(present)} of {span} frames are not in the file and count as "
        f"missing; the first of them is frame {skipped[0]}",
    )


def require_distinct_frames(source: Path, frames: Sequence[int]) -> None:
    """Refuse a file that contains a frame twice."""
    twice = [frame for frame, times in Counter(frames).items() if times > 1]
    if twice:
        raise Place(source, frame=twice[0]).error("the file contains this frame twice")


def _identities(people: Sequence[PersonFrame]) -> tuple[str, ...]:
    names = {person.person for person in people}
    known = sorted(name for name in names if name is not None)
    return tuple(known) if len(known) == len(names) <= MOST_IDENTITIES else ()


def note_on_identities(source: Path, people: Sequence[PersonFrame]) -> Iterator[str]:
    """Yield a note if people have names or numbers that are not kept."""
    names = {person.person for person in people}
    if len(names) > 1 and not _identities(people):
        why = "some people have none" if None in names else f"they are more than {MOST_IDENTITIES}"
        yield (
            f"{source}: the names or track numbers of people are not kept, because {why}; --person "
            "cannot choose one"
        )


def _missing_person(source: Path, declared: Skeleton | None) -> Float[Tensor, "joints 3"]:
    if declared is None:
        raise Place(source).error(
            "no frame contains a person, so the skeleton is unknown; name it with "
            "--detected-skeleton"
        )
    return torch.full((len(declared.joints), 3), torch.nan)


def _require_one_joint_count(
    source: Path, people: Sequence[PersonFrame], files: Mapping[int, Path] | None
) -> None:
    for person in people:
        expected, got, first = len(people[0].numbers), len(person.numbers), people[0].frame
        if got != expected:
            place = Place(files[person.frame]) if files else Place(source, frame=person.frame)
            model = files[first].name if files else f"frame {first}"
            raise place.error(
                f"expected {expected} keypoints as in {model}, got {got}; "
                "they belong to another skeleton"
            )


def note_on_lost_frames(path: Path, camera: str, times: Mapping[int, float]) -> Iterator[str]:
    """Yield a note if the time jumps between two frames: the camera lost those between them.

    Times that decrease, that are all the same, or of a coarse clock are noted too.

    Args:
        path: The file.
        camera: The name of the camera.
        times: The time of each frame [s], NaN where unknown, infinite where it is none.

    Yields:
        The note.
    """
    untimed = [frame for frame, time in times.items() if not (isfinite(time) or isnan(time))]
    if untimed:
        yield (
            f"{path}: the time of frame {listed(untimed, most=1)} of camera {camera} is no number "
            f"below {LATEST:g}, and counts as unknown"
        )
    timed = sorted((frame, time) for frame, time in times.items() if isfinite(time))
    steps = [
        ((later - time) / (after - frame), frame)
        for (frame, time), (after, later) in pairwise(timed)
    ]
    usual = median([step for step, _ in steps]) if steps else 0.0
    if timed and len({time for _, time in timed}) == 1 < len(timed):
        yield f"{path}: the time is {timed[0][1]:g} in every frame, and says no frame rate"
    if usual < 0:
        yield f"{path}: the times decrease from frame to frame: the frames are in reverse order"
    long = [(step, frame) for step, frame in steps if usual > 0 and step > LONG_STEP * usual]
    still = sum(step == 0 for step, _ in steps)
    odd = max(len(long), still)
    if max(SEVERAL, MANY_STEPS * len(steps)) <= odd < len(steps):
        how = "does not advance" if still == odd else "advances by two usual steps or more"
        yield (
            f"{path}: in {odd / len(steps):.0%} of the frames of camera {camera}, the time {how}: "
            "the clock is coarse, or frames were lost"
        )
    elif long:
        step, frame = long[0]
        lost = sum(round(one / usual) - 1 for one, _ in long)
        yield (
            f"{path}: camera {camera} lost about {lost} frames: after frame {frame}, the time "
            f"advances by {step:.4g} s, usually by {usual:.4g} s; frames of the same number are "
            "not simultaneous from there on"
        )


def frame_rate(times: Mapping[int, float]) -> float | None:
    """Return the frames per second by the first and the last frame whose time is known [1/s].

    Args:
        times: The time of each frame [s], NaN where unknown.

    Returns:
        The rate; None if fewer than two times are known, or time does not advance.
    """
    known = sorted((frame, time) for frame, time in times.items() if isfinite(time))
    if len(known) < 2 or known[0][1] >= known[-1][1]:  # noqa: PLR2004 - two ends
        return None
    return (known[-1][0] - known[0][0]) / (known[-1][1] - known[0][1])


def _note_on_kinds(source: Path, people: Iterable[PersonFrame]) -> Iterator[str]:
    """Yield a note if what was found is of several classes or categories."""
    different = sorted({person.kind for person in people if person.kind is not None})
    if len(different) > 1:
        yield (
            f"{source}: has several categories, {listed(different)}; everything is read as one "
            "kind of body"
        )
