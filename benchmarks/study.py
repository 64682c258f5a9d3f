"""What do the trainings of `recipes.py`, `trials.py` and `real_truth.py` show together?

Collects their lines, and the table of `detector_noise.py`, in one result file; then
`python benchmarks/tables.py` writes the tables of docs/study.md.

    python benchmarks/study.py --recipes runs/recipes.jsonl --chosen runs/chosen.jsonl \
        --ablation runs/ablation.jsonl --trials runs/trials.jsonl --data runs/data.jsonl \
        --real runs/real.jsonl --noise noise.json
"""

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Suite

# A training is done in one thread.
THREADS = 1
# What the files of lines show.
SCRIPTS = ("recipes", "chosen", "ablation", "trials", "data", "real")


@dataclass(frozen=True)
class Part:
    """The lines of one script."""

    script: str
    lines: list[dict[str, Any]]


def parts(options: argparse.Namespace) -> Iterator[Part]:
    """Read the files that were given."""
    for script in SCRIPTS:
        lines = [
            json.loads(line)
            for path in getattr(options, script)
            for line in path.read_text().splitlines()
        ]
        yield Part(script, lines)
    table = json.loads(options.noise.read_text())
    yield Part("noise", [{"name": name, "values": row} for name, row in table["rows"].items()])


def main() -> None:
    """Collect and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for script in SCRIPTS:
        parser.add_argument(f"--{script}", type=Path, nargs="+", required=True)
    parser.add_argument("--noise", type=Path, required=True)
    saved = Suite("study", "cpu", THREADS, quick=False).save(parts(parser.parse_args()))
    print(f"saved as {saved}")


if __name__ == "__main__":
    main()
