"""Laws of the table of a lens: it gives what the inversion of the lens gives."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from multiview_geom import Cameras, Lens, ring_of_cameras
from selfsup_lifting.lens_table import LARGEST_ERROR, LensTable
from selfsup_lifting.triangulate import normalized_image

PINHOLE = replace(
    ring_of_cameras(1, radius=4.0, height=1.5), image_size=torch.tensor([[1000, 800]])
)
coefficients = st.tuples(
    st.floats(-0.3, 0.3), st.floats(-0.1, 0.1), st.floats(-0.01, 0.01), st.floats(-0.01, 0.01)
)
lenses = st.builds(
    lambda k, lens: replace(PINHOLE, distortion=torch.tensor([k]).float(), lens=lens),
    coefficients, st.sampled_from(Lens),
)  # fmt: skip


@given(st.just(PINHOLE) | lenses, st.integers(0, 1000))
def test_it_gives_the_normalized_image(camera: Cameras, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    # Also beyond the border of the image, and missing.
    pixels = 1600.0 * torch.rand(50, 2, generator=generator, dtype=torch.float64) - 300.0
    pixels[0] = torch.nan
    expected = normalized_image(camera.to(torch.float64), pixels[None, None])[0, 0].numpy()
    limit = 10 * LARGEST_ERROR
    np.testing.assert_allclose(LensTable(camera)(pixels.numpy()), expected, limit, limit)


def test_the_lens_is_not_inverted_for_pixels_of_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    camera = replace(PINHOLE, distortion=torch.tensor([[-0.2, 0.05, 0.001, -0.001]]))
    table = LensTable(camera)
    monkeypatch.delattr(LensTable, "_exact")
    pixels = np.array([[0.0, 0.0], [999.0, 799.0], [400.0, 300.5]])
    assert np.isfinite(table(pixels)).all()


@pytest.mark.parametrize("size", [None, [[1_000_000, 1_000_000]], [[1000, 800]]])
def test_where_no_table_is_close_enough_the_lens_is_inverted(size: list[list[int]] | None) -> None:
    """Without a size, for an image that is too large, and for a lens that turns too fast."""
    camera = replace(
        PINHOLE,
        distortion=torch.tensor([[-0.9, 5.0, 0.3, 0.3]]),
        image_size=None if size is None else torch.tensor(size),
    )
    table, pixels = LensTable(camera), np.array([[10.0, 20.0], [400.0, 300.5], [np.nan, 1.0]])
    assert table._table is None
    expected = normalized_image(camera.to(torch.float64), torch.from_numpy(pixels)[None, None])
    np.testing.assert_array_equal(table(pixels), expected[0, 0].numpy())
