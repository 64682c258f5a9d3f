"""Laws of settings files."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from selfsup_lifting.config import Config, LossSettings
from selfsup_lifting.config_toml import (
    as_plain,
    as_toml,
    from_plain,
    load_settings,
    setting_rows,
)
from selfsup_lifting.read_settings import People, ReadSettings
from selfsup_lifting.recipes import PRESETS, RECIPES

configs = st.builds(
    Config,
    data=st.lists(st.text(min_size=1, max_size=5), max_size=2).map(tuple),
    epochs=st.none() | st.integers(1, 1000),
    seed=st.integers(0, 2**31),
    read=st.builds(ReadSettings, cameras=st.none() | st.just(Path("rig.toml"))),
    losses=st.builds(LossSettings, projection=st.floats(0, 10)),
)


@given(configs)
def test_plain_settings_come_back(config: Config) -> None:
    assert from_plain(as_plain(config), Config()) == config


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_recipe_and_preset_comes_back_from_a_file(
    tmp_path: Path, recipe: str, preset: str
) -> None:
    config = PRESETS[preset](RECIPES[recipe](Config()))
    (tmp_path / "config.toml").write_text(as_toml(config))
    assert load_settings(tmp_path / "config.toml", Config()) == config


def test_what_a_file_does_not_say_keeps_its_value(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text("seed = 7\n[losses]\nprojection = 2\n")
    default = replace(Config(), epochs=3)
    loaded = load_settings(tmp_path / "mine.toml", default)
    assert (loaded.seed, loaded.epochs, loaded.losses.projection) == (7, 3, 2.0)
    assert loaded.losses.input == default.losses.input


def test_choices_are_listed_with_their_source() -> None:
    rows = {row.name: row for row in setting_rows(replace(Config(), seed=7))}
    assert rows["learning_rate"] == ("learning_rate", "0.001", "0.001", "paper: 0.001")
    assert rows["lifter.dropout"].source == "code: 0.5; not stated in the paper"
    assert rows["seed"] == ("seed", "7", "0", "")


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epoch = 3", r"unknown setting `epoch`; did you mean `epochs`\?"),
        ("[read.noise]\njiter_px = 3", r"unknown setting `read\.noise\.jiter_px`; did you mean"),
        ("lifter-width = 3", r"`lifter-width`; did you mean `width` in the table \[lifter\]\?"),
        ('"lifter.width" = 3', r"did you mean `width` in the table \[lifter\]\?"),
        ("recipe = 'paper'", "`recipe`; `--recipe` is given on the command line alone"),
        ("epochs = 0", "setting `epochs` must be at least 1, got 0"),
        ("epochs = 1.5", r"setting `epochs` must be a whole number, got 1\.5"),
        ("seed = true", "setting `seed` must be a whole number, got True"),
        ("data = 'here'", "setting `data` must be a list, got 'here'"),
        ("losses = 3", "setting `losses` must be a table of settings, got 3"),
        ("[losses]\nlabels = 'guess'", "must be one of triangulated, truth, got 'guess'"),
        ("epochs = [", "not a TOML file"),
        ("learning_rate = inf", "setting `learning_rate` must be at most"),
        ("learning_rate = 1" + 400 * "0", "setting `learning_rate` is too large a number"),
        ("learning_rate = 1" + 5000 * "0", "not a TOML file"),
        ("epochs = 1" + 400 * "0", "setting `epochs` must be at most"),
        ("seed = 99999999999999999999999", "setting `seed` must be at most 9223372036854775807"),
        ("seed = -99999999999999999999999", "setting `seed` must be at least -9223372036854775807"),
        ("read.simulation_seed = 99999999999999999999999", "setting `simulation_seed` must be at"),
        ("lifter.width = 1000001", "setting `width` must be at most 100000, got 1000001"),
        ("lifter.blocks = 1000001", "setting `blocks` must be at most 1000, got 1000001"),
        ("lifter.output_unit = inf", "setting `output_unit` must be at most"),
        ("losses.input = inf", "setting `input` must be at most"),
        (
            "[losses]\ninput = 0\nprojection = 0\nconsistency = 0\noutput = 0",
            "`losses` must give a weight to at least one loss, all are 0",
        ),
        (
            "[losses]\ninput = 0\nprojection = 0\nconsistency = 0",
            "`losses.output_share` must be 1 where no other loss has a weight",
        ),
        (
            "losses.output_share = 0",
            r"`losses.output_share` 0 never uses L_out, whose weight `losses.output` is 0\.01",
        ),
        ("augmentation.hidden_share = 1", "setting `hidden_share` must be below 1, got 1"),
        ("lifter.dropout = 1", "setting `dropout` must be below 1, got 1"),
        (
            "augmentation.mixed_limbs = 0.5",
            r"`augmentation.mixed_limbs` changes virtual views only.*above 0 for 0\.5, got 0",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_settings(tmp_path / "mine.toml", Config())


@pytest.mark.rejects
def test_a_settings_file_that_is_no_text_is_said(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_bytes(b"\x08\x09\xa5\xff")
    with pytest.raises(ValueError, match=r"mine\.toml: not a TOML file: it is no text in UTF-8"):
        load_settings(tmp_path / "mine.toml", Config())


@pytest.mark.rejects
def test_a_bound_that_is_not_kept_is_named() -> None:
    with pytest.raises(ValueError, match=r"setting `learning_rate` must be above 0, got 0\.0"):
        Config(learning_rate=0.0)


def test_data_on_another_drive_are_named_without_their_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_path(*_: object) -> str:
        raise ValueError("path is on mount 'D:', start on mount 'C:'")

    monkeypatch.setattr(os.path, "relpath", no_path)
    text = as_toml(Config(data=(str(tmp_path / "walk.npz"),)), tmp_path / "run")
    assert 'data = [\n    "walk.npz",\n]' in text
    assert str(tmp_path) not in text


WRONG_KINDS: dict[str, tuple[type, tuple[object, ...], str]] = {
    "sync": (ReadSettings, ("yes", None, 1), "must be True or False"),
    "map": (ReadSettings, ("cam_1=a", None, (1,)), "must be a sequence of texts"),
    "unit": (ReadSettings, ([1], 1.0), "must be a text"),
    "cameras": (ReadSettings, (3, ["rig.toml"]), "must be Path"),
    "losses": (Config, ({"input": 1}, None), "must be LossSettings"),
    "steps": (Config, (2.5, None), "must be a whole number"),
    "input": (LossSettings, (None, "1"), "must be a number"),
}


@pytest.mark.rejects
@pytest.mark.parametrize("name", WRONG_KINDS)
def test_a_setting_of_another_kind_is_refused_in_python(name: str) -> None:
    settings, wrong, said = WRONG_KINDS[name]
    for value in wrong:
        with pytest.raises(ValueError, match=f"setting `{name}` {said}"):
            settings(**{name: value})


@pytest.mark.rejects
@pytest.mark.parametrize("given", ["5", True, [5]])
def test_a_setting_that_is_no_number_is_refused_in_python(given: object) -> None:
    with pytest.raises(ValueError, match=r"setting `epochs` must be a number, got .*"):
        Config(epochs=given)  # type: ignore[arg-type]


@pytest.mark.rejects
def test_a_choice_that_is_none_of_the_known_is_refused_in_python() -> None:
    with pytest.raises(ValueError, match=r"setting `people` must be one of .*, got 'largets'"):
        ReadSettings(people="largets")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="`person` 1 names one of the people, and `people` all"):
        ReadSettings(people=People.ALL, person="1")


@pytest.mark.rejects
def test_a_number_of_numpy_is_a_number() -> None:
    config = Config(learning_rate=np.float32(0.5), epochs=np.int64(3), seed=np.int64(2))  # type: ignore[arg-type]
    assert config == Config(learning_rate=0.5, epochs=3, seed=2)
    assert as_toml(config) == as_toml(Config(learning_rate=0.5, epochs=3, seed=2))
    with pytest.raises(ValueError, match=r"setting `epochs` must be a whole number, got 2\.5"):
        Config(epochs=np.float32(2.5))  # type: ignore[arg-type]
