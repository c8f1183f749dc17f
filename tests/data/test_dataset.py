"""From calculations to files that metatrain reads."""

import ase.io
import numpy as np
import pytest
from metatrain.utils.data import get_dataset
from metatrain.utils.omegaconf import expand_dataset_config
from omegaconf import OmegaConf

from metatrain_dos import EnergyGrid
from metatrain_dos.data import defaults
from metatrain_dos.data.calculation import Calculation
from metatrain_dos.data.dataset import (
    TargetSpec,
    training_frame,
    training_options,
    write_dataset,
)
from metatrain_dos.data.writers import DATASET_FORMATS
from metatrain_dos.loss.defaults import RECOMMENDED_INT_WEIGHT


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
def spec(calculations):
    return TargetSpec.covering(calculations, extra_targets=7)


def test_grid_covers_what_can_be_trusted(calculations):
    made = TargetSpec.covering(calculations, spacing=0.1, smearing=0.2)
    lowest = min(each.eigenvalues.min() for each in calculations)
    highest = max(each.eigenvalues[0, :, -1].min() for each in calculations) - 0.9
    energies = made.grid.energies
    assert lowest - 1.0 - 0.1 < energies[0] <= lowest - 1.0
    assert highest <= energies[-1] < highest + 0.1
    assert made.extra_targets == 200 and made.smearing == 0.2


def test_no_calculations():
    with pytest.raises(ValueError, match="calculations: expected at least one"):
        TargetSpec.covering([])


def test_padding_comes_first(calculations, spec):
    frame = training_frame(calculations[1], spec)
    dos, mask = spec.dos_and_mask(calculations[1])
    assert frame.info["dos"].shape == (spec.columns,)
    assert not frame.info["dos"][:7].any() and not frame.info["dos_mask"][:7].any()
    np.testing.assert_allclose(frame.info["dos"][7:], dos, atol=1e-6)
    np.testing.assert_array_equal(frame.info["dos_mask"][7:], mask)
    assert len(spec.energies) == spec.columns
    np.testing.assert_allclose(spec.energies[7], spec.grid.origin)
    np.testing.assert_allclose(np.diff(spec.energies), 0.05)


def test_spin_channels_are_summed(calculations, spec):
    one = calculations[0]
    two = Calculation(
        one.atoms, np.repeat(one.eigenvalues, 2, axis=0), one.kpoint_weights / 2
    )
    np.testing.assert_allclose(spec.dos_and_mask(two)[0], spec.dos_and_mask(one)[0])


def test_choices_survive_the_file(tmp_path, spec):
    spec.write(tmp_path / "grid.json")
    assert TargetSpec.read(tmp_path / "grid.json") == spec


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"grid": {"origin": 1}}'])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "grid.json"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"grid\.json: expected the choices of a data"):
        TargetSpec.read(path)


@pytest.mark.parametrize("format", ["xyz", "zip", "memmap"])
def test_metatrain_reads_what_is_written(tmp_path, calculations, spec, format):
    path = write_dataset(
        tmp_path / "new" / "folder",
        {"training_set": calculations[:3], "test_set": calculations[3:]},
        spec,
        format=format,
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
    assert list(targets) == ["mtt::dos"]
    # metatrain numbers the structures of a zip file, too
    has_mask = format == "xyz"
    masks = {"mtt::dos_mask"} if has_mask else set()
    assert set(extra) - {"mtt::aux::system_index"} == masks
    for sample, calculation in zip(dataset, calculations, strict=False):
        dos, mask = spec.dos_and_mask(calculation)
        values = sample["mtt::dos"].block().values[0].numpy()
        if has_mask:
            read_mask = sample["mtt::dos_mask"].block().values[0].numpy() != 0
        else:
            read_mask = ~np.isnan(values)
        np.testing.assert_array_equal(read_mask[7:], mask)
        assert not mask.all() and not read_mask[:7].any()
        # six decimals, and single precision in memmap
        np.testing.assert_allclose(values[7:][mask], dos[mask], atol=1e-6, rtol=1e-7)


def test_grid_spacing_reaches_the_loss(tmp_path, calculations):
    spec = TargetSpec(EnergyGrid(-10.0, 0.1, 150), 20)
    path = write_dataset(tmp_path, {"training_set": calculations}, spec)
    options = OmegaConf.load(path)
    assert options.architecture.training.loss["mtt::dos"].grid_spacing == 0.1
    assert options.training_set.targets["mtt::dos"].num_subtargets == 170
    assert options.training_set.extra_data["mtt::dos_mask"].num_subtargets == 170


@pytest.mark.parametrize("format", ["xyz", "zip", "memmap"])
def test_structures_survive_every_format(tmp_path, format):
    """A crystal, a slab and a molecule in a box that means nothing."""
    frames = [
        ase.Atoms("Si2", [[0, 0, 0], [1, 2, 3]], cell=np.diag([4, 5, 6]), pbc=True),
        ase.Atoms("C", [[0, 0, 1]], cell=np.diag([2, 3, 9]), pbc=(True, True, False)),
        ase.Atoms("HF", [[0, 0, 0], [0, 0, 0.9]], cell=np.diag([8, 8, 8]), pbc=False),
    ]
    calculations = [
        Calculation(atoms, np.array([[[-1.0, 2.0, 5.0]]]), np.array([2.0]))
        for atoms in frames
    ]
    made = TargetSpec.covering(calculations)
    path = write_dataset(
        tmp_path / "dos", {"training_set": calculations}, made, format=format
    )
    section = OmegaConf.load(path).training_set
    section.systems.read_from = str(path.parent / section.systems.read_from)
    dataset = get_dataset(expand_dataset_config(section)[0])[0]
    for sample, atoms in zip(dataset, frames, strict=True):
        system = sample["system"]
        np.testing.assert_array_equal(system.types, atoms.numbers)
        np.testing.assert_array_equal(system.pbc, atoms.pbc)
        np.testing.assert_allclose(system.positions, atoms.positions, rtol=1e-7)
        cell = np.where(atoms.pbc[:, None], atoms.cell.array, 0.0)
        np.testing.assert_allclose(system.cell, cell, rtol=1e-7)


class TestSpinResolved:
    def test_channels_stand_side_by_side(self, calculations):
        one = calculations[0]
        energies = np.concatenate([one.eigenvalues, one.eigenvalues + 0.3])
        two = Calculation(one.atoms, energies, one.kpoint_weights / 2)
        made = TargetSpec.covering([two], spin_resolved=True, extra_targets=7)
        dos, mask = (values.reshape(2, -1) for values in made.row(two))
        assert dos.size == made.columns == 2 * len(made.energies)
        assert not dos[:, :7].any() and not mask[:, :7].any()
        total, trusted = made.dos_and_mask(two)
        np.testing.assert_allclose(dos[:, 7:].sum(0), total)
        for number, channel in enumerate(energies):
            alone = Calculation(one.atoms, channel[None], one.kpoint_weights)
            np.testing.assert_allclose(2 * dos[number, 7:], made.dos_and_mask(alone)[0])
            np.testing.assert_array_equal(mask[number, 7:], trusted)

    def test_without_spin_each_has_half(self, calculations):
        made = TargetSpec.covering(calculations, spin_resolved=True)
        total, _ = made.dos_and_mask(calculations[0])
        dos, _ = made.row(calculations[0])
        for channel in dos.reshape(2, -1)[:, made.extra_targets :]:
            np.testing.assert_allclose(channel, total / 2)

    def test_spinors_have_none(self, calculations):
        one = calculations[0]
        spinors = Calculation(one.atoms, one.eigenvalues, one.kpoint_weights / 2)
        made = TargetSpec.covering(calculations, spin_resolved=True)
        with pytest.raises(ValueError, match="a calculation with spinors"):
            made.row(spinors)

    def test_options(self, calculations):
        made = TargetSpec.covering(calculations, spin_resolved=True)
        training = training_options(made, {"training_set": "training.xyz"})
        target = training["training_set"]["targets"]["mtt::dos"]
        assert target["num_subtargets"] == made.columns
        loss = training["architecture"]["training"]["loss"]["mtt::dos"]
        assert loss["spin_channels"] == 2
        assert loss["extra_targets"] == made.extra_targets


@pytest.mark.parametrize("reference", ["fermi", "vbm"])
def test_energies_are_relative(calculations, reference):
    """Moving all energies of a calculation moves nothing in its target."""
    made = TargetSpec.covering(calculations, reference=reference)
    one = calculations[1]
    moved = Calculation(
        one.atoms,
        one.eigenvalues + 3.7,
        one.kpoint_weights,
        fermi_level=one.fermi_level + 3.7,
    )
    for row, other in zip(
        made.dos_and_mask(one), made.dos_and_mask(moved), strict=True
    ):
        np.testing.assert_allclose(row, other, atol=1e-9)


def test_unknown_reference(calculations):
    with pytest.raises(ValueError, match=r"reference: .* neutral, got 'h"):
        TargetSpec(EnergyGrid(0.0, 0.1, 10), reference="homo")


def test_cumulative_term_does_not_outweigh_the_dos(spec):
    written = training_options(spec, {"training_set": "training.xyz"})
    loss = written["architecture"]["training"]["loss"]["mtt::dos"]
    assert loss["int_weight"] == RECOMMENDED_INT_WEIGHT == 0.01


def test_formats_of_the_help():
    assert tuple(DATASET_FORMATS) == defaults.FORMATS
