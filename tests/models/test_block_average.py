"""Errors of means over correlated frames, of which the truth is known."""

import numpy as np
import pytest

from metatrain_dos.models.block_average import BlockAverage


def average(frames):
    found = BlockAverage()
    for frame in frames:
        found.add(frame)
    return found


def correlated(rng, memory, frames, series):
    """Make series in which each frame keeps a share of the one before."""
    noise = rng.standard_normal((frames, series))
    values = np.empty_like(noise)
    values[0] = noise[0]
    for i in range(1, frames):
        values[i] = memory * values[i - 1] + np.sqrt(1 - memory**2) * noise[i]
    return values


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_error_knows_of_correlations(memory):
    frames = 4096
    values = correlated(np.random.default_rng(0), memory, frames, 200)
    found = average(values)
    np.testing.assert_allclose(found.mean, values.mean(0), atol=1e-12)
    expected = np.sqrt((1 + memory) / (1 - memory) / frames)
    # The spread of the means of 200 series has an uncertainty of 5 %, and a block
    # is long enough when its error is about that much too small.
    np.testing.assert_allclose(np.median(found.error), expected, rtol=0.15)
    np.testing.assert_allclose(np.median(found.error), values.mean(0).std(), rtol=0.2)
    single = values.std(0, ddof=1) / np.sqrt(frames)
    assert np.median(found.error / single) == pytest.approx(
        np.sqrt((1 + memory) / (1 - memory)), rel=0.15
    )


def test_any_shape_and_constants():
    values = np.random.default_rng(1).standard_normal((37, 2, 3))
    values[:, 0, 0] = 7.0
    found = average(values)
    assert found.count == 37
    assert found.mean.shape == found.error.shape == (2, 3)
    np.testing.assert_allclose(found.mean, values.mean(0), atol=1e-12)
    assert found.error[0, 0] == 0.0
    assert (found.error.ravel()[1:] > 0.05).all()


def test_one_frame_has_no_error():
    found = average([np.ones(3)])
    np.testing.assert_array_equal(found.mean, 1.0)
    assert np.isnan(found.error).all()


def test_memory_does_not_grow_with_the_number_of_frames():
    found = average(np.ones((1000, 1)))
    assert len(found._means) == 10  # blocks of up to 512
