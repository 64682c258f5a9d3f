"""What the option parser writes into a box, as one sentence."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import fields, is_dataclass
from io import StringIO
from itertools import takewhile
from pathlib import Path
from typing import get_args, get_type_hints

from tyro.conf import arg

WRONG_OPTIONS = 2
UNKNOWN = "Unrecognized options: "
TYPOGRAPHIC_DASHES = tuple("\u2010\u2011\u2012\u2013\u2014\u2015\u2212")
# The commands that write a run, and what people call its option.
WRITE_RUNS = {"train", "ablate"}
OUTPUT = re.compile(r"--out(put)?([-_](dir|folder|path))?")
# The parser breaks longer words into two lines.
LONG_WORD = 40
# What a value must be, by the parser's name of its kind.
KINDS = {"FLOAT": "a number without a unit", "INT": "a whole number"}
# The words of the parser, and ours.
WORDS = (
    (r"could not convert string to float: (.*)", r"no type matching FLOAT could be \1"),
    (r"invalid literal for int\(\) with base 10: (.*)", r"no type matching INT could be \1"),
    (r" Got errors: .*", ""),
    (r"Error parsing (.*?): no type matching (\{None\}\|)?", r"\1: expected "),
    (r" could be (instantiated from )?\[?('.*?')\]?\.?$", r", got \2"),
    (r"Missing value for argument '(.*?)'\..*", r"\1 needs a value, and none is given"),
    (r"Missing from (.*?): \w+ (.*?) \(required\)", r"\1 needs an argument: \2"),
    *((rf"(?<=[ |]){name}(?=[ ,|])", kind) for name, kind in KINDS.items()),
    (rf"({KINDS['FLOAT']}, got '(-?\d+),(\d+)')$", r"\1: write \2.\3"),
    (r"\|\{(.*?)\}", r" or \1"),
    (r"^Error parsing [^-\s]+: ", ""),
)


@contextmanager
def in_one_sentence(
    command: str, arguments: Sequence[str], commands: Mapping[str, type]
) -> Iterator[None]:
    """Raise what the parser refuses as a ValueError, in place of a box on standard error.

    Args:
        command: The name of the command.
        arguments: What follows it.
        commands: The options of all commands, which may have an option that this one lacks.
    """
    written = StringIO()
    try:
        with redirect_stderr(written):
            yield
    except SystemExit as ended:
        if ended.code == WRONG_OPTIONS:
            said = _sentence(written.getvalue(), command, arguments, commands)
            raise ValueError(said) from None
        raise
    sys.stderr.write(written.getvalue())


def _sentence(
    box: str, command: str, arguments: Sequence[str], commands: Mapping[str, type]
) -> str:
    """Return the first part of a box, and the options that the other parts recommend."""
    plain = re.sub(r"\x1b\[[\d;]*m", "", box)
    lines = [line.strip("│") for line in plain.splitlines()[1:-1]]
    said = " ".join(" ".join(lines).partition("───")[0].split())
    for word in (one for one in arguments if len(one) > LONG_WORD):
        said = said.replace(_broken(said, word), word)
    for theirs, ours in WORDS:
        said = re.sub(theirs, ours, said)
    if not said.startswith(UNKNOWN):
        return said
    unknown = said.removeprefix(UNKNOWN).split(", ")
    if options := [one.partition("=")[0] for one in unknown if one.startswith("--")]:
        close = re.findall(r"^ {5}(--[\w.-]+)", "\n".join(lines), re.MULTILINE)
        hint = _hint(command, options[0], [*dict.fromkeys(close)], commands)
        return f"`{command}` has no option {' and '.join(options)}{hint}"
    return _about_arguments(unknown, command, arguments)


def _hint(command: str, option: str, close: Sequence[str], commands: Mapping[str, type]) -> str:
    """Return the part of a sentence that names the commands of an option, or a similar option."""
    if command in WRITE_RUNS and OUTPUT.fullmatch(option):
        return "; did you mean --run, its output folder?"
    owners = [name for name, kind in commands.items() if option in option_names(kind)]
    if owners:
        *others, last = owners
        return f"; {', '.join(others)} and {last} have it" if others else f"; {last} has it"
    return f"; did you mean {' or '.join(close)}?" if close else ""


def _about_arguments(unknown: Sequence[str], command: str, arguments: Sequence[str]) -> str:
    """Return a sentence about arguments that are no options and that nothing takes."""
    if all(Path(one).exists() for one in unknown):
        *_, option, _value = ["", "", *arguments[: [*arguments].index(unknown[0])]]
        if option.startswith("--"):
            return f"{option} takes one path, got also {', '.join(unknown)}"
        return (
            f"one path is expected here, got also {', '.join(unknown)}; several files of one "
            "recording are read by the folder that holds them"
        )
    switch = re.search(r"(?i)(--[\w.-]+)[ =](true|false|on|off|yes|no)\b", " ".join(arguments))
    is_value = switch is not None and unknown[0] == switch[2]
    hint = f"; an option that is on or off has no value: {switch[1]}" if switch and is_value else ""
    before = [*takewhile(unknown[0].__ne__, arguments)][-2:]
    if len(before) > 1 and before[0].startswith("--") and not before[1].startswith("--"):
        hint = hint or f"; {before[0]} takes one value, {before[1]}"
    if dashed := next((one for one in unknown if one.startswith(TYPOGRAPHIC_DASHES)), None):
        plain = dashed.lstrip("".join(TYPOGRAPHIC_DASHES) + "-").partition("=")[0]
        hint = f"; {dashed[0]} is a dash of a text processor: write --{plain} with two hyphens"
    return f"`{command}` takes fewer arguments, got also {', '.join(unknown)}{hint}"


def option_names(kind: type, group: str = "") -> set[str]:
    """Return the options of a dataclass and of the groups in it, as they are written."""
    hints = get_type_hints(kind, include_extras=True)
    names: set[str] = set()
    for one in fields(kind):
        plain = next((each for each in get_args(hints[one.name])), hints[one.name])
        if not (isinstance(plain, type) and is_dataclass(plain)):
            names.add(f"--{group}{one.name}".replace("_", "-"))
            continue
        unnamed = arg(name="") in get_args(hints[one.name]) or not one.metadata.get("prefix", True)
        names |= option_names(plain, group if unnamed else f"{group}{one.name}.")
    return names


def _broken(text: str, word: str) -> str:
    """Return a word as it is in a text that may have blanks inside the word."""
    found = re.search(" ?".join(map(re.escape, word)), text)
    return word if found is None else found[0]
