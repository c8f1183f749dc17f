"""States and electrons of real outputs."""

import gzip
from dataclasses import replace

import numpy as np
import pytest
from helpers.paths import OUTPUTS, STRUCTURES

from metatrain_dos.data.readers import read_espresso_xml, read_extxyz
from metatrain_dos.data.references import (
    highest_occupied,
    missing_electrons,
    reference_energy,
)


@pytest.fixture
def silicon(tmp_path):
    path = tmp_path / "silicon.xml"
    path.write_bytes(gzip.decompress((OUTPUTS / "silicon.xml.gz").read_bytes()))
    return read_espresso_xml(path)


def test_highest_occupied_of_an_insulator(silicon):
    # eight electrons fill four bands
    assert highest_occupied(silicon) == silicon.eigenvalues[..., :4].max()
    assert highest_occupied(replace(silicon, fermi_level=None)) is None
    assert highest_occupied(replace(silicon, fermi_level=-100.0)) is None


def test_any_level_in_the_gap_fits(silicon):
    top = silicon.eigenvalues[..., :4].max()
    bottom = silicon.eigenvalues[..., 4:].min()
    for level in (top, top - 1e-4, (top + bottom) / 2, bottom - 1e-6, bottom):
        # the weights of an output have ten digits
        assert missing_electrons(replace(silicon, fermi_level=level)) == pytest.approx(
            0, abs=1e-6
        )


def test_levels_that_do_not_fit(silicon):
    low = replace(silicon, fermi_level=silicon.eigenvalues[..., 3].min() - 0.1)
    assert missing_electrons(low) > 0.1
    high = replace(silicon, fermi_level=silicon.eigenvalues.max() + 1)
    bands = silicon.eigenvalues.shape[-1]
    assert missing_electrons(high) == pytest.approx(8 - 2 * bands, abs=1e-6)


@pytest.mark.parametrize("field", ["fermi_level", "n_electrons"])
def test_what_cannot_be_checked(silicon, field):
    assert missing_electrons(replace(silicon, **{field: None})) is None


def test_real_data_agree():
    missing = [missing_electrons(each) for each in read_extxyz(STRUCTURES)]
    # Metals: smeared occupations are no step. The insulators among them agree.
    assert np.abs(missing).max() < 0.25
    assert np.median(np.abs(missing)) < 1e-3


def test_references(silicon):
    assert reference_energy(silicon, "raw") == 0.0
    assert reference_energy(silicon, "fermi") == silicon.fermi_level
    assert reference_energy(silicon, "vbm") == highest_occupied(silicon)
    without = replace(silicon, n_electrons=None)
    assert reference_energy(without, "neutral") == silicon.fermi_level
    assert reference_energy(replace(without, fermi_level=None), "neutral") == 0.0
    with pytest.raises(ValueError, match="expected one for the reference 'vbm'"):
        reference_energy(replace(silicon, fermi_level=None), "vbm")
