"""Draw the time that a calibration takes against frames and cameras, from the result file.

Run from the checkout: python docs/figures/calibration_time.py
"""

import json
import re
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "0.2.0"
VIEWS, FRAMES = 4, 1000
"""What is fixed where the other one varies."""


def main() -> None:
    """Draw both curves."""
    (file,) = RESULTS.glob("calibration--*.json")
    report = json.loads(file.read_text(encoding="utf-8"))
    times = {
        tuple(int(number) for number in re.findall(r"\d+", name)): seconds
        for table in report["rows"]
        for name, (seconds, *_) in table["rows"].items()
        if table["title"].startswith("Time")
    }
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3), sharey=True, layout="constrained")
    left.set(xscale="log")
    draw(left, {frames: time for (views, frames), time in times.items() if views == VIEWS})
    left.set(xlabel=f"frames ({VIEWS} cameras)", ylabel="processor [s]")
    draw(right, {views: time for (views, frames), time in times.items() if frames == FRAMES})
    right.set(xlabel=f"cameras ({FRAMES} frames)", ylim=(0, None))
    figure.savefig(Path(__file__).with_suffix(".png"), dpi=100, metadata={"Software": None})


def draw(axes: Axes, times: dict[int, float]) -> None:
    """Draw one curve."""
    counts, seconds = zip(*sorted(times.items()), strict=True)
    axes.plot(counts, seconds, "o-", color="#0072b2")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.minorticks_off()
    axes.grid(alpha=0.3)


if __name__ == "__main__":
    main()
