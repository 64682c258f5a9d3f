"""How input files become recordings: every setting, with its meaning, unit, bounds and source."""

from dataclasses import dataclass
from enum import Enum
from math import nan
from pathlib import Path

from selfsup_lifting.config_fields import LARGEST, Bounded, documented, group, setting
from selfsup_lifting.simulation_settings import NoiseSettings, RigSettings


class People(Enum):
    """Which person to use where several people are detected."""

    CONSISTENT = "consistent"
    """The person on whom the cameras agree best, tracked over the frames."""
    LARGEST = "largest"
    """The largest person, chosen in every frame and view independently."""
    ALL = "all"
    """Everybody whom two cameras see: one recording per person."""


# Frame rates outside of these limits are damaged [1/s].
LOWEST_FPS, HIGHEST_FPS = 1e-6, 1e6
# No rig is measured in smaller or larger units [m].
SHORTEST_UNIT, LONGEST_UNIT = 1e-6, 1e6
METERS_PER_UNIT = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}


def meters_per_unit(unit: str) -> float:
    """Return the length of a unit [m]: its name, or a number of meters.

    Raises:
        ValueError: If it is neither.

    Example:
        >>> meters_per_unit("inch"), meters_per_unit("0.054")
        (0.0254, 0.054)
    """
    if unit in METERS_PER_UNIT:
        return METERS_PER_UNIT[unit]
    try:
        length = float(unit)
    except ValueError:
        length = nan
    if not SHORTEST_UNIT <= length <= LONGEST_UNIT:
        known = ", ".join(METERS_PER_UNIT)
        raise ValueError(
            f"`unit` must be {known} or a number of meters from {SHORTEST_UNIT:g} to "
            f"{LONGEST_UNIT:g}, got {unit!r}"
        )
    return length


@documented
@dataclass(frozen=True)
class ReadSettings(Bounded):
    """How input files become recordings.

    Example:
        >>> settings = ReadSettings(fps=10.0, unit="mm")
        >>> meters_per_unit(settings.unit)
        0.001
    """

    cameras: Path | None = setting(
        None, "Calibration file to use instead of the one found beside the data"
    )
    unit: str | None = setting(
        None,
        "Unit of length of the calibration: m, cm, mm, inch or a number of meters; by default the "
        "one that its format fixes, else m or mm, by the size of the rig",
    )
    rig: RigSettings = group(RigSettings, "The simulated rig for motion capture and stick figures")
    noise: NoiseSettings = group(NoiseSettings, "The simulated 2D detector of that rig")
    skeleton: str | None = setting(
        None, "Map every recording to this skeleton: a built-in name or a TOML file"
    )
    detected_skeleton: str | None = setting(
        None,
        "Skeleton of detections with an ambiguous number of joints: a built-in name or a TOML file",
    )
    people: People = setting(
        People.CONSISTENT,
        "Which of several people to use: the one most consistent between views, the largest, or "
        "all (one recording per person)",
    )
    person: str | None = setting(
        None, "Track id of the person to use, or the person's position in the file's list"
    )
    filmed_by: str | None = setting(None, "Calibrated camera that recorded a single 2D track")
    map: tuple[str, ...] = setting(
        (), "Pairs camera=file where the names of calibrated cameras and of files differ"
    )
    take: str | None = setting(
        None, "Read only the recording of this name, or whose name ends with it"
    )
    min_confidence: float = setting(
        0.0, "Detections with a lower confidence count as missing", least=0, most=1
    )
    sync: bool = setting(
        False, "Shift cameras that are certainly early or late, to fractions of a frame"
    )
    exchange_sides: tuple[str, ...] = setting(
        (), "Cameras in which the detector exchanged left and right joints"
    )
    fill_gaps: int = setting(
        0, "Longest gap in a track that is interpolated", unit="frames", least=0
    )
    fps: float | None = setting(
        None,
        "Subsample faster recordings to about this frame rate",
        unit="1/s",
        least=LOWEST_FPS,
        most=HIGHEST_FPS,
    )
    fps_phase: int = setting(
        0, "First frame kept when subsampling", "ours: 0; not stated in the paper", least=0
    )
    universal_truth: bool = setting(
        True, "Use MPI-INF-3DHP's ground truth of the universal skeleton",
        "ours: yes; not stated in the paper",
    )  # fmt: skip
    undistort: bool = setting(
        True, "Undistort the lenses; otherwise treat every camera as a pinhole",
        "ours: yes; code: no; not stated in the paper",
    )  # fmt: skip
    source_fps: float | None = setting(
        None,
        "Frame rate of files that do not state one; by default 60",
        unit="1/s",
        least=LOWEST_FPS,
        most=HIGHEST_FPS,
    )
    simulation_seed: int = setting(0, "Random seed of all simulations", least=-LARGEST)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unit is not None:
            meters_per_unit(self.unit)
        if self.person is not None and self.people is not People.CONSISTENT:
            raise ValueError(
                f"`person` {self.person} names one of the people, and `people` "
                f"{self.people.value} chooses others: give one of the two"
            )
        if self.fps_phase and self.fps is None:
            raise ValueError("`fps_phase` chooses among the frames that `fps` thins out: set `fps`")
