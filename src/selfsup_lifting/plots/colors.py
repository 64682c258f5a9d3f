"""Colors that color-blind readers can distinguish, on white and on dark paper."""

from collections.abc import Mapping

# Okabe and Ito, Color Universal Design, 2008.
BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY, GRAY = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#808080",
)  # fmt: skip

BONE_COLORS: Mapping[str, str] = {"left": BLUE, "right": ORANGE, "middle": GRAY}
# Colors of things that are drawn beside each other: cameras, losses, recordings.
SERIES = (BLUE, ORANGE, GREEN, PURPLE, YELLOW, SKY)


def series_color(place: int) -> str:
    """Return the color of the thing at a place in a list."""
    return SERIES[place % len(SERIES)]


def body_color(place: int) -> str | None:
    """Return the color of the skeleton at a place in a list; the first has the colors of sides."""
    others = (GREEN, PURPLE, YELLOW, SKY)
    return others[(place - 1) % len(others)] if place else None
