"""Which structures are for what."""

import numpy as np
import pytest

from metatrain_dos.data.prepare.split import parse_fractions, split


def no_strata(number):
    return np.zeros(number, dtype=int)


@pytest.mark.parametrize(
    ("text", "fractions"),
    [("0.8,0.1,0.1", (0.8, 0.1, 0.1)), ("0.9,0.1", (0.9, 0.1, 0.0))],
)
def test_fractions(text, fractions):
    assert parse_fractions(text) == fractions


@pytest.mark.parametrize("text", ["", "1", "0.5,0.6", "nan,0.1,0.1", "0.9,0,0.1", "x"])
def test_fractions_that_are_none(text):
    with pytest.raises(ValueError, match="split: expected fractions for training"):
        parse_fractions(text)


def test_shares():
    found = split((0.8, 0.15, 0.05), 0, np.arange(100), no_strata(100))
    np.testing.assert_array_equal(np.bincount(found), [80, 15, 5])
    again = split((0.8, 0.15, 0.05), 0, np.arange(100), no_strata(100))
    np.testing.assert_array_equal(found, again)
    other = split((0.8, 0.15, 0.05), 1, np.arange(100), no_strata(100))
    assert (found != other).any()


@pytest.mark.parametrize(("number", "counts"), [(1, [1]), (2, [1, 1]), (3, [1, 1, 1])])
def test_few(number, counts):
    found = split((0.8, 0.1, 0.1), 0, np.arange(number), no_strata(number))
    assert np.bincount(found).tolist() == counts


def test_no_test_set():
    found = split((0.5, 0.5, 0.0), 0, np.arange(10), no_strata(10))
    assert np.bincount(found).tolist() == [5, 5]


def test_groups_and_strata():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 1000)
    strata = groups % 3
    found = split((0.7, 0.2, 0.1), 0, groups, strata)
    for group in range(60):
        assert len(set(found[groups == group])) == 1
    for stratum in range(3):
        shares = np.bincount(found[strata == stratum]) / (strata == stratum).sum()
        # Groups are a twentieth of a stratum, and the last of each share is whole.
        np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.12)


def test_many_strata_take_no_time():
    numbers = np.arange(200_000)
    found = split((0.8, 0.1, 0.1), 0, numbers, numbers // 4)
    assert np.bincount(found).tolist() == [100_000, 50_000, 50_000]
