"""What do the trainings of the study show? The tables of docs/study.md."""

from statistics import mean, stdev
from typing import Any

from selfsup_lifting.evaluation.ablation import interval

Row = dict[str, Any]

# What is compared, by the head of its column.
MEASURES = {
    "P-MPJPE": "p_mpjpe_mm",
    "MPJPE": "mpjpe_mm",
    "unseen P-MPJPE": "unseen_p_mpjpe_mm",
    "unseen MPJPE": "unseen_mpjpe_mm",
}


def recipes(rows: list[Row]) -> list[list[str]]:
    """Show the errors of recipes on the kept clips, on the same rig and on unseen ones."""
    groups = _groups(_lines(rows, "recipes"), "noise", "preset", "recipe", "set")
    head = ["noise, preset", "recipe", "seeds", "same rig", "refined", "unseen rigs", "cpu [s]"]
    body = [head, ["---", "---", *["--:"] * 5]]
    for (noise, preset, recipe, changes), lines in groups.items():
        name = ", ".join([recipe, *changes])
        known = [line["seconds"] for line in lines if "seconds" in line]
        seconds = f"{mean(known):.0f}" if known else ""
        cells = [_by_seed(lines, part) for part in ("", "refined_", "unseen_")]
        body.append([f"{noise}, {preset}", name, str(len(lines)), *cells, seconds])
    return body


def in_short(rows: list[Row]) -> list[list[str]]:
    """Show the P-MPJPE of the recipes `paper` and `robust` as they are, for the README."""
    groups = _groups(_lines(rows, "recipes"), "noise", "preset", "recipe", "set")
    body = [["P-MPJPE [mm], one for each seed", "cameras of the training", "cameras never seen"]]
    body.append(["---", "--:", "--:"])
    for name in ("paper", "robust"):
        lines = groups["cpn-like", "quick", name, ()]
        parts = ([f"{line[f'{part}p_mpjpe_mm']:.1f}" for line in lines] for part in ("", "unseen_"))
        body.append([f"`--recipe {name}`", *map(", ".join, parts)])
    return body


def against_paper(rows: list[Row]) -> list[list[str]]:
    """Show by how much the errors of recipes differ from those of `paper`, seed by seed."""
    groups = _groups(_lines(rows, "recipes"), "noise", "preset", "recipe", "set")
    body = [["recipe", "seeds", *MEASURES], ["---", *["--:"] * 5]]
    for (noise, preset, recipe, changes), lines in groups.items():
        differences = _differences(lines, groups.get((noise, preset, "paper", ()), []))
        if recipe == "paper" or not differences[0]:
            continue
        cells = [", ".join(f"{one:+.1f} %" for one in some) for some in differences]
        name = f"{noise}, {preset}: " + ", ".join([recipe, *changes])
        body.append([name, str(len(differences[0])), *cells])
    return body


def chosen(rows: list[Row]) -> list[list[str]]:
    """Show what settings change on the clips by which they were chosen."""
    return _changes(_lines(rows, "chosen"), _lines(rows, "chosen"))


def ablation(rows: list[Row]) -> list[list[str]]:
    """Show by how much the errors of a recipe grow where one of its settings changes."""
    return _changes(_lines(rows, "ablation"), _lines(rows, "ablation"))


def trials(rows: list[Row]) -> list[list[str]]:
    """Show by how much the errors of a recipe change with what was tried and left out."""
    return _changes(_lines(rows, "trials"), _lines(rows, "trials"))


def data(rows: list[Row]) -> list[list[str]]:
    """Show by how much the errors of a recipe grow with other cameras or fewer motions."""
    return _changes(_lines(rows, "data"), _lines(rows, "ablation"))


def _changes(changed: list[Row], whole: list[Row]) -> list[list[str]]:
    """Compare trainings with a change with those of the whole recipe."""
    base = _groups(whole, "recipe", "set")
    body = [["change", "seeds", *MEASURES], ["---", *["--:"] * 5]]
    for (recipe, changes), lines in _groups(changed, "recipe", "set").items():
        differences = _differences(lines, base[recipe, ()])
        if changes:
            cells = [_percent(some) for some in differences]
            body.append([", ".join(changes), str(len(differences[0])), *cells])
    return body


def _differences(lines: list[Row], others: list[Row]) -> list[list[float]]:
    """Return the differences from the lines of the same seeds [%], for each of `MEASURES`."""
    base = {line["seed"]: line for line in others}
    pairs = [(line, base[line["seed"]]) for line in lines if line["seed"] in base]
    return [
        [100 * (ours[one] / theirs[one] - 1) for ours, theirs in pairs] for one in MEASURES.values()
    ]


def _percent(differences: list[float]) -> str:
    """Return the mean of differences and half the width of its 95 % interval."""
    width = f" ± {interval(differences):.1f}" if len(differences) > 1 else ""
    return f"{mean(differences):+.1f}{width} %"


def ellipsoids(rows: list[Row]) -> list[list[str]]:
    """Show how many errors the predicted ellipsoids hold, and whether sure joints are better."""
    known = [line for line in _lines(rows, "recipes") if "coverage" in line]
    head = ["noise, preset", "recipe", "seeds", "same rig", "unseen rigs"]
    head += ["surest quarter [mm]", "least sure quarter [mm]", "refined in a stream"]
    body = [head, ["---", "---", *["--:"] * 6]]
    for (noise, preset, recipe, changes), lines in _groups(
        known, "noise", "preset", "recipe", "set"
    ).items():
        name = ", ".join([recipe, *changes])
        shares = [
            ", ".join(f"{100 * line[one]:.1f} %" for line in lines)
            for one in ("coverage", "unseen_coverage")
        ]
        errors = [
            ", ".join(f"{line[one]:.1f}" for line in lines)
            for one in ("surest_mm", "least_sure_mm")
        ]
        stream = _by_seed(lines, "streamed_")
        body.append([f"{noise}, {preset}", name, str(len(lines)), *shares, *errors, stream])
    return body


def real_people(rows: list[Row]) -> list[list[str]]:
    """Show the errors on real people."""
    body = [["data", "recipe", "seeds", "poses", "P-MPJPE / MPJPE [mm]"]]
    body.append(["---", "---", "--:", "--:", "--:"])
    for (data, recipe), lines in _groups(_lines(rows, "real"), "data", "recipe").items():
        poses = str(lines[0]["poses"])
        body.append([data, recipe, str(len(lines)), poses, _errors(lines, "")])
    return body


def detectors(rows: list[Row]) -> list[list[str]]:
    """Show the statistics of real and simulated detectors."""
    head = ["detections", "median error [%]", "p90 / median", "p99 / median", "worst / best joint"]
    head += ["frame to frame", "constant part", "confidence", "missing [%]"]
    body = [head, ["---", *["--:"] * 8]]
    for line in _lines(rows, "noise"):
        numbers = ["" if one != one else f"{one:.2f}" for one in line["values"]]  # noqa: PLR0124
        body.append([line["name"], *numbers])
    return body


def _lines(rows: list[Row], script: str) -> list[Row]:
    return [line for part in rows if part["script"] == script for line in part["lines"]]


def _groups(lines: list[Row], *keys: str) -> dict[tuple[Any, ...], list[Row]]:
    """Group lines by some of their values, in the order of the first ones."""
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for line in lines:
        values = (tuple(v) if isinstance(v, list) else v for v in (line[key] for key in keys))
        groups.setdefault(tuple(values), []).append(line)
    return groups


def _by_seed(lines: list[Row], part: str) -> str:
    """Return P-MPJPE and MPJPE of every seed that was judged so."""
    aligned, unaligned = (f"{part}{measure}" for measure in ("p_mpjpe_mm", "mpjpe_mm"))
    known = [line for line in lines if aligned in line]
    return ", ".join(f"{line[aligned]:.1f} / {line[unaligned]:.1f}" for line in known)


def _errors(lines: list[Row], part: str) -> str:
    """Return P-MPJPE and MPJPE, each with its deviation over the seeds."""
    names = (f"{part}{measure}" for measure in ("p_mpjpe_mm", "mpjpe_mm"))
    return " / ".join(_with_deviation([line[name] for line in lines]) for name in names)


def _with_deviation(values: list[float]) -> str:
    deviation = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{deviation}"
