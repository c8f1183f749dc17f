"""The division of states among atoms, against sums by hand."""

from dataclasses import replace

import ase
import numpy as np
import pytest

from metatrain_dos.data.calculation import Calculation, InputError
from metatrain_dos.data.dataset import training_frame
from metatrain_dos.data.grid import EnergyGrid
from metatrain_dos.data.projection import parts_on_atoms, projected, shares_of_atoms
from metatrain_dos.data.target_spec import TargetSpec


EXACT = {"rtol": 1e-12, "atol": 1e-14}  # sums of some numbers, in another order


@pytest.fixture
def calculation():
    """Make two k-points with three bands and both spins, and projections on 4 atoms."""
    rng = np.random.default_rng(0)
    made = Calculation(
        atoms=ase.Atoms("SiO2H", rng.uniform(0, 9, (4, 3)), cell=[9, 9, 9], pbc=True),
        eigenvalues=np.sort(rng.uniform(-5, 5, (2, 2, 3)), axis=-1),
        kpoint_weights=np.array([0.25, 0.75]),
        n_electrons=2.0,
    )
    return projected(made, rng.uniform(0.1, 0.3, (4, 2, 2, 3)), np.arange(4))


class TestShares:
    def test_are_proportional(self):
        shares = shares_of_atoms(np.array([[0.1, 0.6, 0.1], [0.3, 0.6, 0.0]]))
        np.testing.assert_allclose(shares, [[0.25, 0.5, 1], [0.75, 0.5, 0]], **EXACT)

    def test_of_a_state_that_is_nowhere(self):
        # A tenth counts: the part of it that is missing is divided evenly.
        shares = shares_of_atoms(np.array([[0.0, 0.02, 1e-300], [0.0, 0.0, 0.0]]))
        np.testing.assert_allclose(shares, [[0.5, 0.6, 0.5], [0.5, 0.4, 0.5]], **EXACT)

    def test_have_no_step(self):
        projections = np.array([[0.1 - 1e-9, 0.1 + 1e-9], [0, 0]])
        shares = shares_of_atoms(projections)
        np.testing.assert_allclose(shares[0], 1, atol=1e-8)  # ten times the difference

    def test_add_up(self):
        projections = np.random.default_rng(1).exponential(0.05, (5, 2, 3, 4))
        np.testing.assert_allclose(shares_of_atoms(projections).sum(0), 1, **EXACT)


class TestProjected:
    def test_equivalent_atoms_share(self, calculation):
        raw = np.random.default_rng(1).uniform(size=(4, 2, 2, 3))
        made = projected(calculation, raw, np.array([0, 1, 1, 3])).projections
        np.testing.assert_allclose(made[1], (raw[1] + raw[2]) / 2, **EXACT)
        np.testing.assert_array_equal(made[1], made[2])
        np.testing.assert_array_equal(made[[0, 3]], raw[[0, 3]])

    def test_negative_ones_are_none(self, calculation):
        raw = np.full((4, 2, 2, 3), 0.2)
        raw[2, 1, 1, 1] = -0.01
        made = projected(calculation, raw, np.arange(4)).projections
        assert made[2, 1, 1, 1] == 0 and made.sum() == pytest.approx(47 * 0.2)

    def test_empty_ones_are_refused(self, calculation):
        with pytest.raises(InputError, match=r"at least 10% of the occupied .* got 4"):
            projected(calculation, np.full((4, 2, 2, 3), 0.01), np.arange(4))

    def test_wrong_shapes(self, calculation):
        with pytest.raises(InputError, match=r"expected shape \(4, 2, 2, 3\), .* same"):
            replace(calculation, projections=np.ones((4, 1, 2, 3)))


class TestPartsOnAtoms:
    def test_by_hand(self, calculation):
        part = calculation.projections.sum(0)
        weights = np.broadcast_to([[0.25], [0.75]], (2, 2, 3)).ravel()
        states = sorted(
            zip(calculation.eigenvalues.ravel(), weights, part.ravel(), strict=True)
        )
        left, occupied, empty = 2.0, [], []
        for energy, weight, held in states:
            filled = min(weight, left)
            left -= filled
            occupied.append((filled, held))
            if energy <= calculation.eigenvalues.max(-1).min():
                empty.append((weight - filled, held))
        wanted = [
            np.average([h for _, h in x], weights=[w for w, _ in x])
            for x in (occupied, empty)
        ]
        np.testing.assert_allclose(parts_on_atoms(calculation), wanted, **EXACT)

    def test_of_all_states(self, calculation):
        weights = np.broadcast_to([[0.25], [0.75]], (2, 2, 3))
        wanted = np.average(calculation.projections.sum(0), weights=weights)
        occupied, empty = parts_on_atoms(replace(calculation, n_electrons=None))
        assert occupied == pytest.approx(wanted) and np.isnan(empty)

    def test_of_none(self, calculation):
        assert np.isnan(parts_on_atoms(replace(calculation, projections=None))).all()


class TestTargets:
    def test_add_up_to_the_dos(self, calculation):
        spec = TargetSpec.covering([calculation], projected=True, extra_targets=7)
        frame = training_frame(calculation, spec)
        assert not {"dos", "dos_mask"} & {*frame.info}
        dos, mask = spec.dos_and_mask(calculation)
        rows, masks = frame.arrays["dos"], frame.arrays["dos_mask"]
        assert rows.shape == masks.shape == (4, spec.columns) and masks.dtype == bool
        # six decimals of each of the four
        np.testing.assert_allclose(rows.sum(0)[7:], dos, rtol=0, atol=2e-6)
        assert (masks[:, 7:] == mask).all() and not masks[:, :7].any()
        assert not rows[:, :7].any()

    def test_are_the_shares(self, calculation):
        grid = EnergyGrid.covering(-9, 9, 0.05)  # 13 smearings beyond the states
        spec = TargetSpec(grid, projected=True, extra_targets=0)
        rows, _ = spec.row(calculation)
        shares = shares_of_atoms(calculation.projections)
        integral = rows.sum(-1) * spec.spacing
        wanted = (shares * np.array([[0.25], [0.75]])).sum((1, 2, 3))
        np.testing.assert_allclose(integral, wanted, rtol=1e-9)

    def test_without_projections(self, calculation):
        spec = TargetSpec.covering([calculation], projected=True)
        with pytest.raises(
            ValueError, match=r"projections: expected some, .* projecte"
        ):
            spec.row(replace(calculation, projections=None))
