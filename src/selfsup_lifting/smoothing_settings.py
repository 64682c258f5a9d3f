"""The settings of filling and smoothing 3D tracks."""

from dataclasses import dataclass

from selfsup_lifting.config_fields import Bounded, documented, setting

# Order of one pass of the filter; the second pass, backwards, doubles it and removes the delay.
ORDER = 2


@documented
@dataclass(frozen=True)
class SmoothingSettings(Bounded):
    """How 3D tracks are filled and smoothed before they are written."""

    fill_gaps_3d: int = setting(
        0, "Longest gap of a 3D track that is interpolated linearly", unit="frames", least=0
    )
    cutoff_hz: float | None = setting(
        None,
        "Smooth the 3D tracks by a Butterworth low-pass filter (order 4, no delay) with this "
        "cutoff frequency, for example 6 for walking; by default they are not smoothed",
        unit="Hz",
        above=0,
    )

    def describe(self) -> str:
        """Return what is done to the tracks, for the files; empty if nothing is."""
        parts = []
        if self.fill_gaps_3d:
            parts.append(f"gaps of up to {self.fill_gaps_3d} frames interpolated linearly")
        if self.cutoff_hz is not None:
            order = 2 * ORDER
            parts.append(f"Butterworth low-pass, order {order}, no delay, {self.cutoff_hz:g} Hz")
        return "; ".join(parts)
