"""Which structures are for training, validation and test."""

import numpy as np
import pytest

from metatrain_dos.data.prepare.split import parse_fractions, split


def random_keys(number):
    return np.random.default_rng(5).integers(0, 2**63, number).astype(np.uint64)


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


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_shares(seed):
    """The number in each set is binomial: three standard deviations are allowed."""
    fractions = np.array([0.8, 0.15, 0.05])
    found = split(fractions, seed, random_keys(2000), np.arange(2000))
    allowed = 3 * np.sqrt(2000 * fractions * (1 - fractions))
    assert (np.abs(np.bincount(found) - 2000 * fractions) < allowed).all()


def test_seed():
    made = [
        split((0.8, 0.1, 0.1), s, random_keys(99), np.arange(99)) for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(made[0], made[1])
    assert (made[0] != made[2]).any()


def test_more_structures_change_nothing():
    keys = random_keys(400)
    for number in (100, 200):
        before = split((0.8, 0.1, 0.1), 0, keys[:number], np.arange(number))
        after = split((0.8, 0.1, 0.1), 0, keys, np.arange(400))
        np.testing.assert_array_equal(after[:number], before)


def test_known_structures_stay():
    keys, groups = random_keys(60), np.arange(60) // 3
    known = np.full(60, -1)
    known[:9] = [0, 0, 0, 1, 1, 1, 2, 2, 0]
    known[30] = 2
    found = split((0.8, 0.1, 0.1), 0, keys, groups, None, known)
    np.testing.assert_array_equal(found[:9], known[:9])
    assert found[30:33].tolist() == [2, 2, 2]  # relatives of a known one follow it


@pytest.mark.parametrize(("number", "counts"), [(1, [1]), (2, [1, 1]), (3, [1, 1, 1])])
def test_few(number, counts):
    found = split((0.8, 0.1, 0.1), 0, random_keys(number), np.arange(number))
    assert np.bincount(found).tolist() == counts


def test_no_test_set():
    found = split((0.5, 0.5, 0.0), 0, random_keys(50), np.arange(50))
    assert set(found) == {0, 1}


def test_large_groups_are_for_training():
    groups = np.minimum(np.arange(100), 60)  # the last 40 are one group
    for seed in range(20):
        found = split((0.8, 0.1, 0.1), seed, random_keys(100), groups)
        assert set(found[60:]) == {0}
    # If all groups are large, the smallest has to do.
    found = split((0.8, 0.2, 0.0), 0, random_keys(100), np.arange(100) // 51)
    assert np.bincount(found).tolist() == [51, 49]


def test_groups_and_strata():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 60, 1000)
    strata = groups % 3
    found = split((0.7, 0.2, 0.1), 0, random_keys(1000), groups, strata)
    for group in range(60):
        assert len(set(found[groups == group])) == 1
    for stratum in range(3):
        shares = np.bincount(found[strata == stratum]) / (strata == stratum).sum()
        # Groups are a twentieth of a stratum, and the last of each share is whole.
        np.testing.assert_allclose(shares, [0.7, 0.2, 0.1], atol=0.12)


def test_each_stratum_has_all_sets():
    numbers = np.arange(2000)
    found = split((0.8, 0.1, 0.1), 0, random_keys(2000), numbers, numbers // 4)
    counts = np.stack([np.bincount(part) for part in found.reshape(500, 4)])
    assert (counts == [2, 1, 1]).all()
