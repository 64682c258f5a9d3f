"""Single sightings of people, laid out by frame and person."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.files.detectors.view_tracks import ViewTracks, view_tracks
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.infer import body_by_count
from selfsup_lifting.skeleton.skeletons import Skeleton

# A gap between two frames above this is a damaged frame number and no pause.
LONGEST_GAP = 100_000
# More identities than this are a tracker that lost people again and again: identities of little
# worth, which would need memory for each in every frame.
MOST_IDENTITIES = 32


@dataclass(frozen=True)
class Sighting:
    """One person in one frame: x, y and confidence of every joint, as the file says."""

    frame: int
    numbers: Float[Tensor, "joints 3"]
    person: str | None = None


def gather_sightings(
    source: Path, sightings: Sequence[Sighting], frames: range
) -> tuple[Float[Tensor, "frames people joints 3"], tuple[str, ...]]:
    """Lay sightings of equally many joints out by frame and person.

    Args:
        source: The file or folder, for the sentence of an error.
        sightings: Everybody who was seen, in any order of frames.
        frames: The numbers of the frames that the file covers.

    Returns:
        The numbers, NaN where there is nobody, and what the people are called: by identity
        where every sighting has one, else in the order of the file and without names.
    """
    names = _identities(sightings)
    places: dict[int, int] = {}
    numbers: dict[tuple[int, int], Tensor] = {}
    for sighting in sightings:
        place = places.get(sighting.frame, 0)
        places[sighting.frame] = place + 1
        column = names.index(sighting.person) if names and sighting.person else place
        if (sighting.frame, column) in numbers:
            raise ReadError(
                f"{source}: frame {sighting.frame} tells person {sighting.person} twice"
            )
        numbers[sighting.frame, column] = sighting.numbers
    people = len(names) or max(places.values(), default=1)
    joints = sightings[0].numbers.shape[0] if sightings else 0
    laid = torch.full((len(frames), people, joints, 3), torch.nan)
    for (frame, column), person in numbers.items():
        laid[frame - frames.start, column] = person
    return laid, names


def _identities(sightings: Sequence[Sighting]) -> tuple[str, ...]:
    names = {sighting.person for sighting in sightings}
    known = sorted(name for name in names if name is not None)
    return tuple(known) if len(known) == len(names) <= MOST_IDENTITIES else ()


def tracks_of_sightings(
    source: Path,
    layout: str,
    sightings: Sequence[Sighting],
    frames: Sequence[int],
    told: Skeleton | None,
) -> ViewTracks:
    """Turn the sightings of one camera into tracks of a skeleton.

    Args:
        source: The file or folder; its name is the camera's.
        layout: Who wrote it.
        sightings: Everybody who was seen, in any order of frames.
        frames: The numbers of all frames that the file tells of, also those with nobody.
        told: The skeleton that the user or the project names; None where nobody does.

    Returns:
        The tracks; frames between those told of are missing.

    Raises:
        ReadError: If people differ in how many joints they have, or nothing tells the skeleton.
    """
    _require_one_count(source, sightings)
    covered = covering_range(source, [*frames, *(sighting.frame for sighting in sightings)])
    if not sightings:
        sightings = [Sighting(covered.start, _nobody(source, told))]
    numbers, people = gather_sightings(source, sightings, covered)
    body = body_by_count(source, len(sightings[0].numbers), told)
    view = view_tracks(
        source.stem,
        source,
        layout,
        body.skeleton,
        numbers[:, :, list(body.order)],
        first_frame=covered.start,
        people=people,
        notes=gap_notes(source, frames),
    )
    return replace(view, rivals=body.rivals)


def gap_notes(source: Path, frames: Sequence[int]) -> tuple[str, ...]:
    """Say which frames a file leaves out between those it tells of; nothing where it does not."""
    told = sorted(set(frames))
    gaps = [earlier + 1 for earlier, later in pairwise(told) if later - earlier > 1]
    if not gaps:
        return ()
    span = told[-1] - told[0] + 1
    return (
        f"{source}: {span - len(told)} of {span} frames are not in the file and count as missing; "
        f"the first of them is frame {gaps[0]}",
    )


def _nobody(source: Path, told: Skeleton | None) -> Float[Tensor, "joints 3"]:
    if told is None:
        raise ReadError(f"{source}: nobody is seen in any frame, so nothing tells the skeleton")
    return torch.full((len(told.joints), 3), torch.nan)


def _require_one_count(source: Path, sightings: Sequence[Sighting]) -> None:
    for sighting in sightings:
        expected, came = len(sightings[0].numbers), len(sighting.numbers)
        if came != expected:
            raise ReadError(
                f"{source}, frame {sighting.frame}: expected {expected} keypoints as in frame "
                f"{sightings[0].frame}, got {came}; they are of another skeleton"
            )


def covering_range(source: Path, frames: Sequence[int]) -> range:
    """Return the range that covers all frame numbers, unless one of them is absurd."""
    ordered = sorted(set(frames))
    for earlier, later in pairwise(ordered):
        if later - earlier > LONGEST_GAP:
            raise ReadError(
                f"{source}: frame {later} follows frame {earlier}; a gap of more than "
                f"{LONGEST_GAP} frames is taken for a damaged frame number"
            )
    return range(ordered[0], ordered[-1] + 1) if ordered else range(0)
