"""
Compare Fermi levels and gaps of DOS with those of the eigenvalues they come from.

``python bench_levels.py`` does it for the computed DOS of the shipped data,
``python bench_levels.py --noise`` for the same DOS with noise against those without,
and ``python bench_levels.py MODEL TEST.XYZ`` for the predictions of a model for
structures that ``mtt-dos prepare`` has taken from them. Tables of the docs come from
here.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np

from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.models.errors import align
from metatrain_dos.models.levels import band_edges
from metatrain_dos.models.model import DOSModel
from metatrain_dos.models.predictor import (
    DEFAULT_THRESHOLD,
    DEFAULT_TOLERANCE,
    DOSPredictor,
)


DATA = Path(__file__).parents[1] / "examples" / "data" / "structures.xyz.xz"

# Empty columns in front of the DOS with noise: 165 eV, for an axis of 240 eV.
FRONT = 3300


class Levels:
    """Levels of the eigenvalues of some structures, ``(structures,)`` each, eV."""

    def __init__(self, calculations):
        self.electrons = np.array([each.n_electrons for each in calculations])
        self.fermi = np.array([each.fermi_level for each in calculations])
        bands = [each.eigenvalues[0] for each in calculations]
        filled = np.round(self.electrons / 2).astype(int)
        pairs = list(zip(bands, filled, strict=True))
        self.highest = np.array([e[:, :n].max() for e, n in pairs])
        self.lowest = np.array([e[:, n:].min() for e, n in pairs])
        self.gap = self.lowest - self.highest


def describe(levels, fermi, gap):
    """Summarise the errors of Fermi levels and gaps in one line."""
    metals = levels.gap < 0
    inside = (levels.highest < fermi) & (fermi < levels.lowest)
    off = np.abs(fermi - levels.fermi)[metals]
    parts = [
        f"metals {metals.sum()}: E_F off by {np.median(off):.2f} (median) "
        f"{off.mean():.2f} (mean) {off.max():.2f} (most), {(gap[metals] != 0).sum()} "
        "with a gap"
    ]
    for low, high in ((0, 1), (1, 2), (2, np.inf)):
        chosen = (levels.gap >= low) & (levels.gap < high)
        # A gap without an upper end is as wrong as one can be.
        errors = np.nan_to_num(gap - levels.gap, nan=np.inf)[chosen]
        sizes = np.abs(errors)
        parts.append(
            f"gaps of {low:g} to {high:g} eV {chosen.sum()}: off by "
            f"{np.median(sizes):.2f} {sizes.mean():.2f} {sizes.max():.2f}, bias "
            f"{errors.mean():+.2f}, {(gap[chosen] == 0).sum()} not seen, E_F inside of "
            f"{inside[chosen].sum()}"
        )
    return "\n    ".join(parts)


def computed(calculations):
    """Compare the DOS of the calculations themselves."""
    levels = Levels(calculations)
    choices = TargetSpec.covering(calculations)
    dos = np.array([choices.dos_and_mask(each)[0] for each in calculations])
    for smearing in (choices.smearing, None):
        for threshold in (0.0005, 0.001, 0.002, 0.005, 0.02):
            edges = band_edges(
                dos,
                choices.grid.energies,
                levels.electrons,
                smearing=smearing,
                threshold=threshold,
            )
            print(f"smearing {smearing}, threshold {threshold}")
            print("   ", describe(levels, edges.fermi_level, edges.gap))


def with_noise(calculations):
    """Compare levels of computed DOS with noise to those without."""
    electrons = np.array([each.n_electrons for each in calculations])
    atoms = np.array([len(each.atoms) for each in calculations])
    choices = TargetSpec.covering(calculations)
    dos = np.array([choices.dos_and_mask(each)[0] for each in calculations])
    dos = np.pad(dos, ((0, 0), (FRONT, 0)))
    energies = choices.grid.spacing * np.arange(dos.shape[1])
    # The root mean square where there are states
    sizes = np.sqrt([np.mean(row[row > 1e-3] ** 2) for row in dos])[:, None]
    white = 0.05 * sizes * np.random.default_rng(0).standard_normal(dos.shape)
    is_front = np.maximum.accumulate(dos, axis=1) < 1e-3 * electrons[:, None]
    options = {
        "smearing": choices.smearing,
        "tolerance": DEFAULT_TOLERANCE * electrons,
        "threshold": DEFAULT_THRESHOLD,
    }
    clean = band_edges(dos, energies, electrons, **options)
    metals, insulators = clean.gap == 0, clean.gap > 1
    for name, noise in {
        "0.005 states/eV/atom in front": is_front * 0.005 * atoms[:, None],
        "zero mean, 5 %": white,
        "non-negative, 5 %": np.abs(white),
        "5 %, negative values cut off": np.maximum(white, -dos),
    }.items():
        found = band_edges(dos + noise, energies, electrons, **options)
        parts = [f"{name:<30}"]
        for what, chosen in (
            ("fermi_level", metals),
            ("fermi_level", insulators),
            ("highest_occupied", insulators),
            ("lowest_unoccupied", insulators),
        ):
            moved = np.abs(getattr(found, what) - getattr(clean, what))[chosen]
            numbers = " ".join(f"{np.nanquantile(moved, q):.3f}" for q in (0.5, 0.9))
            parts.append(f"{what} of {chosen.sum()} moves by {numbers}")
        parts.append(f"{(found.gap[insulators] == 0).sum()} gaps lost")
        parts.append(f"{(found.gap[metals] != 0).sum()} gaps in metals")
        print("\n    ".join(parts))


def predicted(calculations, model, structures):
    """Compare the predictions of a model, on the axis of each calculation."""
    frames = ase.io.read(structures, ":")
    known = {_key(each.atoms): each for each in calculations}
    levels = Levels([known[_key(frame)] for frame in frames])
    model = DOSModel.load(model)
    rows = np.array(list(model.predict(frames)))
    choices = TargetSpec.read(model.path.parent / "grid.json")
    front, spacing = choices.extra_targets, choices.grid.spacing
    aligned = align(
        rows,
        np.array([frame.info["dos"][front:] for frame in frames]),
        np.array([frame.info["dos_mask"][front:] for frame in frames], dtype=bool),
        grid_spacing=spacing,
    )
    # The axis of the data may have been moved, structure by structure.
    moved = np.array([frame.info["highest_occupied"] for frame in frames])
    moved -= np.where(levels.gap > 0, levels.highest, levels.fermi)
    moved += (aligned.shift - front) * spacing
    predictor = DOSPredictor(model, zero="axis")
    found = [
        predictor.describe(row, electrons)
        for row, electrons in zip(rows, levels.electrons, strict=True)
    ]
    middle = np.where(
        levels.gap > 0, 0.5 * (levels.highest + levels.lowest), levels.fermi
    )
    counts = [
        np.interp(level, each.dos_energies, each.states)
        for level, each in zip(middle + moved, found, strict=True)
    ]
    off = np.abs(np.array(counts) / levels.electrons - 1)
    print(f"relative RMSE {np.median(aligned.relative_rmse):.0%} (median)")
    print(f"states below the Fermi level off by {np.median(off):.1%} (median)")
    fermi = np.array([each.fermi_level for each in found]) - moved
    print(describe(levels, fermi, np.array([each.gap for each in found])))


def _key(atoms):
    """Tell structures apart by their positions."""
    return atoms.info["material"], tuple(np.round(atoms.positions.ravel(), 4))


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("model", nargs="?", help="model.pt, next to its grid.json")
    parser.add_argument("structures", nargs="?", help="test.xyz of the same data set")
    parser.add_argument("--noise", action="store_true", help="add noise to the DOS")
    arguments = parser.parse_args()
    calculations = list(read_extxyz(DATA))
    if arguments.noise:
        with_noise(calculations)
    elif arguments.model is None:
        computed(calculations)
    else:
        predicted(calculations, arguments.model, arguments.structures)


if __name__ == "__main__":
    main()
