"""Trained models, and where their columns are."""

import shutil

import ase
import ase.io
import metatensor.torch as mts
import numpy as np
import pytest
import torch
from helpers.processes import mtt
from metatomic.torch import systems_to_torch
from omegaconf import OmegaConf

from metatrain_dos.models.axis import find_axis, training_loss
from metatrain_dos.models.model import DOSModel


# Models run in float32, with sums of thousands of products.
ROUNDING = {"rtol": 1e-4, "atol": 1e-5}


# PET alone: a process that has loaded compiled extensions from the folder of another
# model ends at once when the package that they come from is imported later.
@pytest.fixture(scope="module")
def pet(train):
    folder, _, spec = train("pet")
    return folder, spec, ase.io.read(folder / "test.xyz", ":")


def predict(model, structures, **options):
    return list(model.predict(structures, **options))


def test_file_and_checkpoint_are_the_same(pet):
    folder, spec, structures = pet
    exported = DOSModel.load(folder / "model.pt")
    checkpoint = DOSModel.load(folder / "model.ckpt")
    assert exported.target == checkpoint.target == "mtt::dos"
    assert exported.columns == checkpoint.columns == spec.columns
    for one, other in zip(
        predict(exported, structures), predict(checkpoint, structures), strict=True
    ):
        np.testing.assert_allclose(one, other, **ROUNDING)


def test_as_mtt_eval_which_writes_a_row_for_each_atom(pet):
    folder, _, structures = pet
    (folder / "predict.yaml").write_text("systems: test.xyz\n")
    status, log = mtt(
        *("eval", "model.pt", "predict.yaml", "-o", "predicted.mts"), folder=folder
    )
    assert status == 0, log
    block = mts.load(str(next(folder.glob("predicted*.mts")))).block()
    model = DOSModel.load(folder / "model.pt")
    sizes = [len(atoms) for atoms in structures]
    systems = block.samples.column("system").numpy()
    np.testing.assert_array_equal(systems, np.repeat(range(len(sizes)), sizes))
    rows = block.values.double().numpy()
    of_atoms = predict(model, structures, per_atom=True)
    np.testing.assert_allclose(np.concatenate(of_atoms), rows, **ROUNDING)
    for i, found in enumerate(predict(model, structures)):
        assert found.dtype == np.float64
        np.testing.assert_allclose(found, rows[systems == i].sum(0), **ROUNDING)


@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_batches_do_not_matter(pet, batch_size):
    folder, _, structures = pet
    model = DOSModel.load(folder / "model.pt", device="cpu")
    alone = [predict(model, [atoms])[0] for atoms in structures]
    found = predict(model, iter(structures), batch_size=batch_size)
    np.testing.assert_allclose(found, alone, **ROUNDING)


def test_no_more_than_a_batch_is_read_ahead(pet):
    folder, _, structures = pet
    taken = []

    def read():
        for atoms in structures:
            taken.append(atoms)
            yield atoms

    rows = DOSModel.load(folder / "model.pt").predict(read(), batch_size=2)
    assert taken == []
    next(rows)
    assert len(taken) == 2


def test_systems_of_metatomic_and_cells_that_mean_nothing(pet):
    folder, _, structures = pet
    model = DOSModel.load(folder / "model.pt")
    boxed = structures[-1].copy()
    boxed.pbc = False  # with a cell all the same
    molecule = boxed.copy()
    molecule.cell = None
    system = systems_to_torch(molecule, dtype=torch.float64)
    expected, *found = predict(model, [molecule, boxed, system])
    for row in found:
        np.testing.assert_allclose(row, expected, **ROUNDING)


class TestMistakes:
    def test_files(self, pet, tmp_path):
        folder = pet[0]
        message = r"model: expected an existing \.pt or \.ckpt file, got"
        with pytest.raises(ValueError, match=message):
            DOSModel.load(folder)
        (tmp_path / "a.pt").write_text("nothing")
        with pytest.raises(ValueError, match=r"an exported model or .*got .*a\.pt"):
            DOSModel.load(tmp_path / "a.pt")
        (tmp_path / "a.ckpt").write_text("nothing")
        with pytest.raises(ValueError, match="or a checkpoint of metatrain, got"):
            DOSModel.load(tmp_path / "a.ckpt")

    def test_target_and_device(self, pet):
        path = pet[0] / "model.pt"
        message = "expected 'mtt::ldos' among the outputs of .*, which are mtt::dos;"
        with pytest.raises(ValueError, match=message):
            DOSModel.load(path, target="mtt::ldos")
        message = r"device: expected one that exists here .* \(.*cpu.*\), got 'tpu'"
        with pytest.raises(ValueError, match=message):
            DOSModel.load(path, device="tpu")

    @pytest.mark.parametrize(
        ("atoms", "found"),
        [
            (ase.Atoms("Xe"), r"got atomic numbers \[54\]"),
            (ase.Atoms(), "got none at all"),
        ],
    )
    def test_structures(self, pet, atoms, found):
        folder, _, structures = pet
        model = DOSModel.load(folder / "model.pt")
        rows = model.predict([structures[0], atoms], batch_size=1)
        next(rows)
        with pytest.raises(ValueError, match=f"structure 1: expected atoms .* {found}"):
            next(rows)

    def test_batch_size(self, pet):
        model = DOSModel.load(pet[0] / "model.pt")
        with pytest.raises(
            ValueError, match="batch_size: expected a number > 0, got 0"
        ):
            model.predict([], batch_size=0)


class TestAxis:
    def test_next_to_the_model_or_the_data(self, pet, tmp_path):
        folder, spec, _ = pet
        shutil.copy(folder / "model.pt", tmp_path)
        lone = DOSModel.load(tmp_path / "model.pt")
        for axis in (
            find_axis(DOSModel.load(folder / "model.pt")),
            find_axis(lone, near=[folder / "test.xyz"]),
            find_axis(lone, near=[folder]),
            find_axis(lone, grid=folder),
            find_axis(lone, grid=folder / "grid.json"),
        ):
            np.testing.assert_allclose(axis.energies, spec.energies)
            assert axis.grid == spec.grid

    def test_from_the_loss_of_the_training(self, pet, tmp_path):
        folder, spec, _ = pet
        shutil.copy(folder / "model.ckpt", tmp_path)
        model = DOSModel.load(tmp_path / "model.ckpt")
        axis = find_axis(model)
        assert (axis.spacing, axis.extra_targets) == (0.05, 200)
        assert axis.grid.size == spec.grid.size
        assert axis.grid.origin == axis.smearing == 0.0  # both unknown
        assert axis.source == "the options of the loss"
        axis = find_axis(model, origin=-3.0)
        assert axis.energies[200] == -3.0
        assert axis.energies[0] == pytest.approx(-3.0 - 200 * 0.05)
        # other numbers than those of the training
        axis = find_axis(model, spacing=0.1, extra_targets=10)
        assert (axis.spacing, axis.extra_targets) == (0.1, 10)

    def test_from_the_options_file(self, pet, tmp_path):
        folder = pet[0]
        shutil.copy(folder / "model.pt", tmp_path)
        model = DOSModel.load(tmp_path / "model.pt")
        assert training_loss(model) is None
        for loss, extra, weight in (
            ({"mtt::dos": {"type": "masked_dos", "extra_targets": 150}}, 150, 1.0),
            ({"mtt::dos": {"type": "masked_dos", "tail_weight": 0.3}}, 200, 0.3),
            ({"mtt::dos": "masked_dos"}, 200, 1.0),
            ("masked_dos", 200, 1.0),
        ):
            options = {"architecture": {"training": {"loss": loss}}}
            OmegaConf.save(options, tmp_path / "options.yaml")
            assert find_axis(model).extra_targets == extra
            assert training_loss(model).tail_weight == weight
        options["architecture"]["training"]["loss"] = "mse"
        OmegaConf.save(options, tmp_path / "options.yaml")
        assert training_loss(model) is None

    def test_mistakes(self, pet, tmp_path):
        folder, spec, _ = pet
        shutil.copy(folder / "model.pt", tmp_path)
        model = DOSModel.load(tmp_path / "model.pt")
        message = "found none; give its path with --grid, or both --grid-spacing and"
        with pytest.raises(ValueError, match=message):
            find_axis(model)
        with pytest.raises(ValueError, match=r"nowhere/grid.json is no file"):
            find_axis(model, grid=tmp_path / "nowhere" / "grid.json")
        with pytest.raises(ValueError, match="extra_targets: expected 0 to"):
            find_axis(model, spacing=0.05, extra_targets=10_000)
        with pytest.raises(ValueError, match="spacing: expected an energy > 0"):
            find_axis(model, spacing=0.0, extra_targets=2)
        text = (folder / "grid.json").read_text()
        size = f'"size": {spec.grid.size}'
        (tmp_path / "grid.json").write_text(text.replace(size, '"size": 7'))
        message = f"expected the {spec.columns} columns of the model"
        with pytest.raises(ValueError, match=message):
            find_axis(model)
