"""How the command line is parsed to the options of a command."""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from importlib.metadata import version
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import tyro.extras
from tyro.conf import arg
from tyro.constructors import (
    ConstructorRegistry,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from selfsup_lifting.cli.detect_options import DetectOptions
from selfsup_lifting.cli.options import (
    AblateOptions,
    CalibrateOptions,
    EvaluateOptions,
    ExportOptions,
    InspectOptions,
    Options,
    PredictOptions,
    TrainOptions,
    TriangulateOptions,
    ViewOptions,
    choose,
)
from selfsup_lifting.cli.parser_errors import in_one_sentence
from selfsup_lifting.cli.short_help import short_help
from selfsup_lifting.cli.standard_streams import write_out
from selfsup_lifting.cli.unused_options import require_effect
from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import change_paths, load_config, load_settings, setting_values
from selfsup_lifting.recipes import PRESETS, RECIPES
from selfsup_lifting.simulation_settings import NOISE_LEVELS

PROGRAM = "selfsup-lifting"
# Shows every option; --help shows those that most people need.
ALL_OPTIONS = "--help-all"
# Prints a script that completes commands and options in a shell.
COMPLETION = "--print-completion"
# Prints the version of the package.
VERSION = "--version"

COMMANDS: Mapping[str, type[Options]] = {
    "train": TrainOptions,
    "evaluate": EvaluateOptions,
    "predict": PredictOptions,
    "triangulate": TriangulateOptions,
    "view": ViewOptions,
    "inspect": InspectOptions,
    "calibrate": CalibrateOptions,
    "ablate": AblateOptions,
    "detect": DetectOptions,
    "export": ExportOptions,
}


def parse_options(arguments: Sequence[str]) -> Options:
    """Parse a command line.

    A recipe, preset, settings file or run folder changes the defaults of the other options, so
    those that name one are parsed first.

    Raises:
        ValueError: If a value is not possible, or an option is unknown, missing or without effect.
        SystemExit: If help or the version was asked for.
    """
    name, *rest = arguments
    if VERSION in arguments:
        write_out(f"{PROGRAM} {version('multiview-geom')}\n")
        sys.exit(0)
    if name not in COMMANDS:
        plain = ["--tyro-print-completion" if one == COMPLETION else one for one in arguments]
        tyro.extras.subcommand_cli_from_dict(
            dict(COMMANDS), prog=PROGRAM, args=plain,
            config=(tyro.conf.EnumChoicesFromValues,), registry=_registry,
        )  # fmt: skip
    if "-h" in rest or "--help" in rest:
        write_out(short_help(PROGRAM, name, COMMANDS[name]))
        sys.exit(0)
    rest = ["--help" if one == ALL_OPTIONS else one for one in rest]
    _require_once(rest)
    _require_values(COMMANDS[name], rest)
    if name in {"train", "ablate"}:
        kind = TrainOptions if name == "train" else AblateOptions
        settings = _settings_before_options(kind, name, rest)
        trained = _parse(name, rest, kind(settings=settings))
        _require_not_varied(trained, rest)
        vary = trained.vary if isinstance(trained, AblateOptions) else None
        of_recipes = _settings_of_recipes() if (vary or "").startswith("recipe=") else []
        require_effect(trained, [settings, *of_recipes])
        return trained
    options = _parse(name, rest)
    if isinstance(options, EvaluateOptions | PredictOptions):
        read = load_config(options.run).read
        own = isinstance(options, EvaluateOptions) and not options.data
        if own:
            _require_data(options.run)
        if read.cameras is not None and not own:  # its unit is that of no other calibration
            read = replace(read, cameras=None, unit=None)
        options = _parse(name, rest, replace(options, read=read))
    require_effect(options)
    return options


def _require_once(arguments: Sequence[str]) -> None:
    """Refuse an option that is given twice, also as `--no-...`: only the last would count."""
    written = _written(arguments)
    names = [*map(_option_name, written)]
    for place, name in enumerate(names):
        if name in names[:place]:
            first = written[names.index(name)]
            also = "" if first == written[place] else f", also as {first}"
            raise ValueError(
                f"{written[place]} is given twice{also}, and the last would count alone; an option "
                f"of several values takes them after one another: {first} A B"
            )


def _require_values(kind: type[Options], arguments: Sequence[str]) -> None:
    """Refuse an option of several values that has none: the parser would take it for left out."""
    several = {name for name, hint in _hints(kind) if get_origin(hint) is tuple}
    places = [*takewhile(lambda one: one != "--", arguments), "--"]
    for option, value in pairwise(places):
        name = _option_name(option).removeprefix("--").rpartition(".")[2]
        if option.startswith("--") and name in several and value.startswith("--"):
            raise ValueError(
                f"{option} needs a value, and none is given; likely cause: a shell variable that "
                "is not set"
            )


def _hints(kind: type) -> Iterator[tuple[str, Any]]:
    """Yield the name, as it is written, and the type of every option of a dataclass."""
    for name, hint in get_type_hints(kind).items():
        yield name.replace("_", "-"), hint
        for nested in (hint, *get_args(hint)):
            if isinstance(nested, type) and is_dataclass(nested):
                yield from _hints(nested)


def _require_not_varied(options: Options, arguments: Sequence[str]) -> None:
    """Refuse a setting that is varied and given too: its varied values alone would count."""
    if not isinstance(options, AblateOptions) or options.vary is None:
        return
    vary = options.vary
    name = _option_name(f"--{vary.partition('=')[0].strip()}")
    for one in _written(arguments):
        if _option_name(one) == name != "--cameras":  # of --vary, their number; else, a file
            raise ValueError(f"{one} has no effect beside --vary {vary}: leave one of them out")
    if name == "--recipe":
        _require_kept(options, vary)


def _require_kept(options: AblateOptions, vary: str) -> None:
    """Refuse a setting that one of several recipes to compare sets to another value."""
    from selfsup_lifting.evaluation.ablation import varied  # imports torch

    usual = setting_values(RECIPES[options.recipe](PRESETS[options.preset](Config())))
    given = {*setting_values(options.settings).items()} - {*usual.items()}
    for variant in varied(options.settings, vary):
        values = setting_values(variant.config)
        for setting, value in sorted(given):
            if values[setting] != value:
                raise ValueError(
                    f"`{setting}` {value} has no effect in {variant.name}, which sets it to "
                    f"{values[setting]}: leave one of them out"
                )


def _written(arguments: Sequence[str]) -> list[str]:
    """List the options of a command line as they are written, without their values."""
    places = takewhile(lambda one: one != "--", arguments)
    return [one.partition("=")[0] for one in places if one.startswith("--")]


def _option_name(written: str) -> str:
    """Return the one name of an option that can be written in several ways, also as `--no-...`."""
    return re.sub(r"(^--|\.)no-", r"\1", written.replace("_", "-"))


def default_preset(command: str, *, with_data: bool) -> str:
    """Return the preset of `train` or `ablate` that is used if none is given."""
    if command == "ablate":
        return AblateOptions.preset
    return "quick" if with_data else "demo"


def _parse(name: str, arguments: Sequence[str], default: Options | None = None) -> Options:
    with in_one_sentence(name, arguments, COMMANDS):
        return tyro.cli(
            COMMANDS[name], prog=f"{PROGRAM} {name}", args=arguments,
            default=tyro.MISSING_NONPROP if default is None else default,
            config=(tyro.conf.EnumChoicesFromValues,), registry=_registry,
        )  # fmt: skip


_registry = ConstructorRegistry()


@_registry.struct_rule
def _settings_rule(info: StructTypeInfo) -> StructConstructorSpec | None:
    """Tell tyro which groups of settings have options without the group's name."""
    if info.type is not Config:
        return None
    default = info.default if isinstance(info.default, Config) else Config()
    kinds: dict[str, Any] = get_type_hints(Config)
    for one in fields(Config):
        if not one.metadata.get("prefix", True):
            kinds[one.name] = Annotated[kinds[one.name], arg(name="")]
    specs = [
        StructFieldSpec(one.name, kinds[one.name], getattr(default, one.name), one.metadata["help"])
        for one in fields(Config)
    ]
    return StructConstructorSpec(Config, tuple(specs))


@dataclass(frozen=True)
class _FirstOptions:
    """The options that are parsed before all others."""

    recipe: str | None = None
    preset: str | None = None
    noise_level: str | None = None
    config: Path | None = None
    resume: Path | None = None
    run: Path | None = None
    overwrite: bool = False
    data: tuple[str, ...] = ()


def _settings_before_options(
    kind: type[TrainOptions | AblateOptions], name: str, arguments: Sequence[str]
) -> Config:
    """Return the defaults of all settings: from a recipe and preset, a file, or a run."""
    with in_one_sentence(name, arguments, COMMANDS):
        first, _ = tyro.cli(
            _FirstOptions, prog=f"{PROGRAM} {name}", args=arguments, add_help=False,
            return_unknown_args=True,
        )  # fmt: skip
    if first.resume is not None:
        _require_no_other_source(first)
        if not first.data:
            _require_data(first.resume)
        return load_config(first.resume)
    usual = default_preset(name, with_data=bool(first.data or first.config))
    preset = choose(PRESETS, first.preset or usual, "preset")
    recipe = choose(RECIPES, first.recipe or kind.recipe, "recipe")
    config: Config = recipe(preset(Config()))
    if first.noise_level is not None:
        noise = choose(NOISE_LEVELS, first.noise_level, "noise-level")
        config = replace(config, read=replace(config.read, noise=noise))
    if first.config is None:
        return config
    settings = load_settings(first.config, config)
    if settings.overwrite:  # a file of somebody else must not delete
        raise ValueError(
            f"{first.config}: `overwrite` must be given on the command line, as --overwrite, and "
            "not in a file"
        )
    try:
        require_effect(TrainOptions(settings=settings), [config, *_settings_of_recipes()])
    except ValueError as error:
        raise ValueError(f"{first.config}: {error}") from None
    return settings


def _settings_of_recipes() -> list[Config]:
    return [recipe(preset(Config())) for recipe in RECIPES.values() for preset in PRESETS.values()]


def _require_data(run: Path) -> None:
    """Raise a ValueError if the data of a run are not where its settings say."""

    def required(path: Path) -> Path:
        if not path.exists():
            raise ValueError(
                f"{run}: there is no file or folder {path}, which its settings name; likely cause: "
                "the run was moved without its data; `--data` says where they are"
            )
        return path

    change_paths({"data": list(load_config(run).data)}, required)


def _require_no_other_source(first: _FirstOptions) -> None:
    """Refuse options that a resumed run would ignore, because it has its own settings."""
    for option in ("recipe", "preset", "noise_level", "config", "run", "overwrite"):
        if getattr(first, option):
            raise ValueError(
                f"`resume` continues {first.resume} with the settings of that run; "
                f"`{option.replace('_', '-')}` "
                "cannot be given beside it"
            )
