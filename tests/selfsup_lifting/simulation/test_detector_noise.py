"""Laws of the simulated detector."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.testing import assert_close

from selfsup_lifting.simulation.detector_noise import Detections, detect, film, generator_for
from selfsup_lifting.simulation_settings import NoiseSettings
from tests.selfsup_lifting.strategies import Scene, scenes

SILENT = NoiseSettings(jitter_px=0.0, bias_px=0.0, outlier_share=0.0)
SIZE = torch.tensor([[1000, 1000]] * 4)
MIDDLE = torch.full((400, 4, 17, 2), 500.0, dtype=torch.float64)


def detected(noise: NoiseSettings, pixels: Tensor = MIDDLE, seed: int = 0) -> Detections:
    return detect(pixels, SIZE, noise, generator_for(seed, "take"))


def errors(noise: NoiseSettings) -> Tensor:
    return (detected(noise).keypoints - MIDDLE.float()).norm(dim=-1)


@given(scenes)
def test_a_silent_detector_returns_the_projection(scene: Scene) -> None:
    recording = replace(scene, missing=0.0).recording()
    seen = film(recording.cameras, scene.truth(), SILENT, generator_for(0, "take"))
    found = seen.keypoints.isfinite()
    assert_close(seen.keypoints[found], recording.keypoints[found], rtol=0, atol=1e-3)
    assert_close(seen.confidence[found.all(dim=-1)].min(), torch.tensor(1.0))


@given(st.integers(0, 100))
def test_the_same_seed_detects_the_same(seed: int) -> None:
    one, other = detected(NoiseSettings(), seed=seed), detected(NoiseSettings(), seed=seed)
    assert_close(one, other, rtol=0, atol=0, equal_nan=True)


def test_the_default_error_is_four_to_five_pixels() -> None:
    assert 4.0 < errors(NoiseSettings()).mean() < 5.0


def test_jitter_has_the_deviation_it_is_given() -> None:
    squared = errors(replace(SILENT, jitter_px=3.0)).square().mean()
    assert_close(squared, torch.tensor(2 * 3.0**2), rtol=0.05, atol=0)


def test_bias_stays_through_the_recording() -> None:
    biased = errors(replace(SILENT, bias_px=3.0))
    assert_close(biased, biased[:1].expand_as(biased))
    assert_close(biased[0].square().mean(), torch.tensor(2 * 3.0**2), rtol=0.5, atol=0)


def test_outliers_have_their_share_and_their_size() -> None:
    far = errors(replace(SILENT, outlier_share=0.1, outlier_px=45.0))
    assert_close((far > 0).float().mean(), torch.tensor(0.1), rtol=0.1, atol=0)
    assert_close(far[far > 0].square().mean().sqrt(), torch.tensor(45.0), rtol=0.1, atol=0)


@given(st.sampled_from([0.0, 0.2, 0.5, 1.0]))
def test_occlusion_has_its_share(share: float) -> None:
    lost = detected(NoiseSettings(occluded_share=share)).keypoints.isnan().any(dim=-1)
    assert_close(lost.float().mean(), torch.tensor(share), rtol=0.15, atol=0)


def test_occlusion_comes_in_runs() -> None:
    lost = detected(NoiseSettings(occluded_share=0.3, occlusion_frames=10.0)).confidence == 0
    begins = (lost[1:] & ~lost[:-1]).sum()
    assert_close(lost[1:].sum() / begins, torch.tensor(10.0), rtol=0.2, atol=0)


def test_confidence_separates_good_from_bad() -> None:
    seen, error = detected(NoiseSettings()), errors(NoiseSettings())
    trusted = seen.confidence > seen.confidence.median()
    assert error[trusted].mean() < 0.75 * error[~trusted].mean()
    assert seen.confidence[error > 40].mean() < 0.5 * seen.confidence[error < 10].mean()


def test_missing_is_nan_with_confidence_zero() -> None:
    seen = detected(NoiseSettings(occluded_share=0.4))
    assert torch.equal(seen.keypoints.isnan().any(dim=-1), seen.confidence == 0)


@pytest.mark.parametrize("outside", [-0.6, 999.6, float("nan"), float("inf")])
def test_what_lies_outside_the_picture_is_missing(outside: float) -> None:
    pixels = MIDDLE.clone()
    pixels[3, 2, 1, 0] = outside
    lost = detected(NoiseSettings(), pixels).keypoints.isnan().any(dim=-1)
    assert lost.nonzero().tolist() == [[3, 2, 1]]


def test_what_lies_behind_a_camera_is_missing() -> None:
    recording = Scene(views=2).recording()
    behind = torch.tensor([[[6.0, 0.0, 1.0]]])
    seen = film(recording.cameras, behind, SILENT, generator_for(0, "take"))
    assert seen.confidence[0, :, 0].tolist() == [0.0, 1.0]


@pytest.mark.rejects
def test_a_rig_without_image_sizes_cannot_film() -> None:
    cameras = replace(Scene().cameras(), image_size=None)
    with pytest.raises(ValueError, match="`cameras` must have image sizes"):
        film(cameras, Scene().truth(), SILENT, generator_for(0, "take"))


@pytest.mark.rejects
@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("jitter_px", -1.0),
        ("outlier_share", 1.5),
        ("occluded_share", float("nan")),
        ("occlusion_frames", 0.0),
    ],
)
def test_impossible_noise_is_refused(setting: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"setting `{setting}` must be"):
        replace(NoiseSettings(), **{setting: value})
