"""Structures that are in two data sets, too few, or of unknown elements."""

from pathlib import Path

import ase.io
import numpy as np
import pytest
from helpers.checks import TRAINING, change, findings, line_of, only, where
from omegaconf import OmegaConf


def put_into_test(atoms):
    """Replace the second test structure by another one, with its own target."""
    frames = ase.io.read("test.xyz", ":")
    atoms.info = {**frames[1].info, "source": "runs/old/pw.out"}
    ase.io.write("test.xyz", [frames[0], atoms, *frames[2:]], format="extxyz")


class TestEqualStructures:
    def test_in_another_order_and_cell(self, folder):
        atoms = ase.io.read("training.xyz", 2)
        atoms = atoms[np.random.default_rng(0).permutation(len(atoms))]
        atoms.positions += atoms.cell.array[1] - 2 * atoms.cell.array[0]
        put_into_test(atoms)
        found = only("error", "structures are also in training_set")
        assert "as structure 2 there" in found.found
        assert where(found) == [("test_set", [1])]
        assert "structure 1 from runs/old/pw.out" in found.text("options.yaml")
        assert found.line == line_of("test_set:")

    def test_displaced_by_a_phonon(self, folder):
        """The smallest displacement of calculations of phonons is 0.01 Å."""
        atoms = ase.io.read("training.xyz", 2)
        atoms.positions[0, 1] += 0.01
        put_into_test(atoms)
        assert findings() == []

    @pytest.mark.parametrize("fraction", [0.2, 0])
    def test_drawn_at_random(self, folder, fraction):
        frames = ase.io.read("training.xyz", ":")
        ase.io.write("training.xyz", [*frames, frames[3]], format="extxyz")
        if fraction:
            change(validation_set=fraction)
            found = only("warning", "structures are also in training_set")
            assert where(found) == [("training_set", [12])]
        else:
            assert findings() == []


class TestSizes:
    def test_batch_size(self, folder):
        change(**{f"{TRAINING}.batch_size": 13})
        found = only("error", "batch_size is 13 and training_set has only 12")
        assert found.line == line_of("batch_size") and found.fix == "batch_size: 3"
        change(**{f"{TRAINING}.batch_size": 12})
        assert findings() == []

    def test_default_batch_size(self, folder):
        change(**{f"{TRAINING}.batch_size": None})
        only("error", "batch_size is 16, the default, and training_set has only 12")

    @pytest.mark.parametrize(("batch_size", "fits"), [(8, True), (9, False)])
    def test_of_what_is_left(self, folder, batch_size, fits):
        """metatrain holds out floor(12 * 0.1) = 1, then floor(11 * 0.25 / 0.9) = 3."""
        change(validation_set=0.1, test_set=0.25)
        change(**{f"{TRAINING}.batch_size": batch_size})
        found = [each.found for each in findings() if each.severity == "error"]
        wrong = "batch_size is 9 and training_set has only 8 structures"
        assert found == ([] if fits else [wrong])

    def test_empty_validation_set(self, folder):
        change(validation_set=0.05)
        only("error", "is less than one structure")


class TestElements:
    def test_only_in_the_test_set(self, folder):
        atoms = ase.io.read("test.xyz", 1)
        atoms.numbers[0] = 79
        put_into_test(atoms)
        found = only("error", "the model will not know Au, which test_set has")
        assert found.line == line_of("test_set:")

    def test_given_elements(self, folder):
        change(**{"architecture.atomic_types": [7, 11, 13, 14]})
        found = findings()
        assert {each.path for each in found} == {"architecture.atomic_types"}
        assert "will not know Cl, which training_set has" in found[0].found
        assert found[0].fix == "add [17]"


class TestSetUp:
    """metatrain's own, for targets that are none of ours, too."""

    def add_energy(self, but=()):
        for split in ("training", "validation", "test"):
            frames = ase.io.read(f"{split}.xyz", ":")
            for number, atoms in enumerate(frames):
                if (split, number) not in but:
                    atoms.info["total_energy"] = -1.5
            ase.io.write(f"{split}.xyz", frames, format="extxyz")
            options = OmegaConf.load("options.yaml")
            options[f"{split}_set"].targets.energy = {
                "key": "total_energy",
                "quantity": "energy",
                "unit": "eV",
            }
            OmegaConf.save(options, "options.yaml")

    def test_other_targets(self, folder):
        self.add_energy()
        assert findings() == []

    def test_label_that_is_not_in_the_file(self, folder):
        self.add_energy(but=[("validation", 2)])
        found = only("error", "metatrain cannot set it up: ")
        assert "total_energy" in found.found
        assert found.line == line_of("validation_set:")

    def test_beginning_of_large_files(self, folder, monkeypatch):
        monkeypatch.setattr("metatrain_dos.checks.set_up.LARGEST", 1000)
        self.add_energy()
        assert findings() == []
        self.add_energy(but=[("training", 0)])
        change(**{"training_set.targets.energy.key": "total_enregy"})
        only("error", "total_enregy")
        assert not list(Path.cwd().glob("tmp*"))

    def test_units(self, folder):
        self.add_energy()
        change(**{"test_set.targets.energy.unit": "meV"})
        found = only("error", "Units of target 'energy' are inconsistent")
        assert found.line == line_of("test_set:")

    def test_number_of_data_sets(self, folder):
        options = OmegaConf.load("options.yaml")
        options.validation_set = [options.validation_set]
        options.training_set = [options.training_set, options.test_set]
        options.test_set = 0.0
        OmegaConf.save(options, "options.yaml")
        only("error", "Length of actual_options (1) and desired_options (2)")
