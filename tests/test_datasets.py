"""From calculations to files that metatrain reads."""

import ase.io
import numpy as np
import pytest
from metatrain.utils.data import get_dataset
from metatrain.utils.omegaconf import expand_dataset_config
from omegaconf import OmegaConf

from metatrain_dos import EnergyGrid
from metatrain_dos.calculation import Calculation
from metatrain_dos.datasets import Discretization, training_frame, write_dataset


@pytest.fixture
def calculations():
    rng = np.random.default_rng(0)
    return [
        Calculation(
            atoms=ase.Atoms("H2", [[0, 0, 0], [0, 0, 0.74 + 0.01 * i]]),
            eigenvalues=np.sort(rng.uniform(-5 - i, 5 + i, (1, 3, 4))),
            kpoint_weights=np.array([0.5, 1.0, 0.5]),
            fermi_level=0.0,
            n_electrons=2.0,
        )
        for i in range(4)
    ]


@pytest.fixture
def discretization(calculations):
    return Discretization.covering(calculations, extra_targets=7)


def test_grid_covers_what_can_be_trusted(calculations):
    made = Discretization.covering(calculations, spacing=0.1, smearing=0.2)
    lowest = min(each.eigenvalues.min() for each in calculations)
    highest = max(each.eigenvalues[0, :, -1].min() for each in calculations) - 0.9
    energies = made.grid.energies
    assert lowest - 1.0 - 0.1 < energies[0] <= lowest - 1.0
    assert highest <= energies[-1] < highest + 0.1
    assert made.extra_targets == 200 and made.smearing == 0.2


def test_no_calculations():
    with pytest.raises(ValueError, match="calculations: expected at least one"):
        Discretization.covering([])


def test_padding_comes_first(calculations, discretization):
    frame = training_frame(calculations[1], discretization)
    dos, mask = discretization.dos_and_mask(calculations[1])
    assert frame.info["dos"].shape == (discretization.columns,)
    assert not frame.info["dos"][:7].any() and not frame.info["dos_mask"][:7].any()
    np.testing.assert_allclose(frame.info["dos"][7:], dos, atol=1e-6)
    np.testing.assert_array_equal(frame.info["dos_mask"][7:], mask)
    assert len(discretization.energies) == discretization.columns
    np.testing.assert_allclose(discretization.energies[7], discretization.grid.origin)
    np.testing.assert_allclose(np.diff(discretization.energies), 0.05)


def test_spin_channels_are_summed(calculations, discretization):
    one = calculations[0]
    two = Calculation(
        one.atoms, np.repeat(one.eigenvalues, 2, axis=0), one.kpoint_weights / 2
    )
    np.testing.assert_allclose(
        discretization.dos_and_mask(two)[0], discretization.dos_and_mask(one)[0]
    )


def test_choices_survive_the_file(tmp_path, discretization):
    discretization.write(tmp_path / "grid.json")
    assert Discretization.read(tmp_path / "grid.json") == discretization


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"grid": {"origin": 1}}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "grid.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"grid\.json: expected the choices of a data"):
        Discretization.read(path)


def test_metatrain_reads_what_is_written(tmp_path, calculations, discretization):
    path = write_dataset(
        tmp_path / "new" / "folder",
        {"training_set": calculations[:3], "test_set": calculations[3:]},
        discretization,
        model={"d_pet": 8},
        training={"num_epochs": 3},
        loss={"int_weight": 0.5},
    )
    options = OmegaConf.load(path)
    assert options.architecture.model.d_pet == 8
    assert options.architecture.training.num_epochs == 3
    loss = options.architecture.training.loss["mtt::dos"]
    assert loss.type == "masked_dos" and loss.extra_targets == 7
    assert loss.int_weight == 0.5

    section = options.training_set
    section.systems.read_from = str(path.parent / section.systems.read_from)
    dataset, targets, extra = get_dataset(expand_dataset_config(section)[0])
    assert len(dataset) == 3
    assert list(targets) == ["mtt::dos"] and list(extra) == ["mtt::dos_mask"]
    for sample, calculation in zip(dataset, calculations, strict=False):
        dos, mask = discretization.dos_and_mask(calculation)
        values = sample["mtt::dos"].block().values[0].numpy()
        np.testing.assert_allclose(values[7:], dos, atol=1e-6)
        read_mask = sample["mtt::dos_mask"].block().values[0].numpy()
        np.testing.assert_array_equal(read_mask[7:] != 0, mask)


def test_grid_spacing_reaches_the_loss(tmp_path, calculations):
    discretization = Discretization(EnergyGrid(-10.0, 0.1, 150), 20)
    path = write_dataset(tmp_path, {"training_set": calculations}, discretization)
    options = OmegaConf.load(path)
    assert options.architecture.training.loss["mtt::dos"].grid_spacing == 0.1
    assert options.training_set.targets["mtt::dos"].num_subtargets == 170
    assert options.training_set.extra_data["mtt::dos_mask"].num_subtargets == 170
