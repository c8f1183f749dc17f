"""
Compare Fermi levels and gaps of DOS with those of the eigenvalues they come from.

``python bench_levels.py`` does it for the computed DOS of the shipped data, with and
without noise, and ``python bench_levels.py MODEL TEST.XYZ`` for the predictions of a
model for structures that ``mtt-dos prepare`` has taken from them. The methods were
chosen on one half of the materials (``--chosen-on``); the numbers of the docs are those
of the other half, or of predictions.
"""

import argparse
from pathlib import Path

import ase.io
import numpy as np

from metatrain_dos.data.readers import read_extxyz
from metatrain_dos.data.target_spec import TargetSpec
from metatrain_dos.models.errors import align
from metatrain_dos.models.levels import BandEdges, band_edges, states_below
from metatrain_dos.models.model import DOSModel
from metatrain_dos.models.predictor import DEFAULT_THRESHOLD, DEFAULT_TOLERANCE


DATA = Path(__file__).parents[1] / "examples" / "data" / "structures.xyz.xz"

# Empty columns in front of the DOS: 100 eV
FRONT = 2000

# Thresholds, and tolerances as fractions of the electrons; None is that of computed DOS
SETTINGS = {
    "computed": ((0.001, None), (0.005, None)),
    "predicted": (
        (0.002, DEFAULT_TOLERANCE),
        (DEFAULT_THRESHOLD, DEFAULT_TOLERANCE),
        (DEFAULT_THRESHOLD, 0.06),
        (0.02, 0.06),
    ),
}


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


def describe(levels, edges):
    """Summarise the errors of Fermi levels and gaps in some lines."""
    fermi, gap = edges.fermi_level, edges.gap
    metals = levels.gap < 0
    off = np.abs(fermi - levels.fermi)[metals]
    parts = [
        f"metals {metals.sum()}: E_F off by {np.median(off):.2f} (median) "
        f"{off.max():.2f} (most), {(gap[metals] != 0).sum()} with a gap"
    ]
    for low, high in ((0, 0.5), (0.5, 1.5), (1.5, 6), (6, np.inf)):
        chosen = (levels.gap >= low) & (levels.gap < high)
        found = chosen & (gap != 0)
        # A gap without an upper end is as wrong as one can be.
        errors = np.nan_to_num(gap - levels.gap, nan=np.inf)[found]
        middle = 0.5 * (levels.highest + levels.lowest)
        parts.append(
            f"gaps of {low:g} to {high:g} eV {chosen.sum()}: "
            f"{chosen.sum() - found.sum()} not seen, others off by "
            f"{_numbers(np.abs(errors))}, E_F off by "
            f"{_numbers(np.abs(fermi - middle)[chosen])}"
        )
    return "\n    ".join(parts)


def _numbers(errors):
    """Give median and maximum."""
    if len(errors) == 0:
        return "-"
    return f"{np.median(errors):.2f} (most {errors.max():.2f})"


def computed(calculations):
    """Compare the DOS of the calculations themselves, with and without noise."""
    levels = Levels(calculations)
    for smearing in (0.1, 0.3, 0.5):
        choices = TargetSpec.covering(calculations, smearing=smearing)
        dos = np.array([choices.dos_and_mask(each)[0] for each in calculations])
        dos = np.pad(dos, ((0, 0), (FRONT, 0)))
        steps = np.arange(-FRONT, choices.grid.size)
        energies = choices.grid.origin + choices.grid.spacing * steps
        # The root mean square where there are states
        sizes = np.sqrt([np.mean(row[row > 1e-3] ** 2) for row in dos])[:, None]
        white = 0.05 * sizes * np.random.default_rng(0).standard_normal(dos.shape)
        for name, noise, settings in (
            ("no noise", 0.0, "computed"),
            ("no noise", 0.0, "predicted"),
            ("noise of 5 %", white, "predicted"),
            ("5 %, non-negative", np.abs(white), "predicted"),
            ("5 %, negative values cut off", np.maximum(white, -dos), "predicted"),
        ):
            for threshold, tolerance in SETTINGS[settings]:
                print(f"smearing {smearing}, {name}, {threshold=}, {tolerance=}")
                count = levels.electrons
                options = {"tolerance": tolerance * count} if tolerance else {}
                edges = band_edges(
                    *(dos + noise, energies, count),
                    smearing=smearing,
                    threshold=threshold,
                    **options,
                )
                print("   ", describe(levels, edges))


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
    energies = choices.energies
    middle = np.where(
        levels.gap > 0, 0.5 * (levels.highest + levels.lowest), levels.fermi
    )
    off = np.abs(states_below(rows, energies, middle + moved) / levels.electrons - 1)
    print(f"relative RMSE {np.median(aligned.relative_rmse):.0%} (median)")
    print(f"states below the Fermi level off by {np.median(off):.1%} (median)")
    for threshold, tolerance in SETTINGS["predicted"]:
        print(f"{threshold=}, {tolerance=}")
        edges = band_edges(
            *(rows, energies, levels.electrons),
            smearing=choices.smearing,
            threshold=threshold,
            tolerance=tolerance * levels.electrons,
        )
        edges = BandEdges(*(each - moved for each in vars(edges).values()))
        print("   ", describe(levels, edges))


def _key(atoms):
    """Tell structures apart by their positions."""
    return atoms.info["material"], tuple(np.round(atoms.positions.ravel(), 4))


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("model", nargs="?", help="model.pt, next to its grid.json")
    parser.add_argument("structures", nargs="?", help="test.xyz of the same data set")
    parser.add_argument(
        "--chosen-on",
        action="store_true",
        help="show the half of the materials that the methods were chosen on",
    )
    arguments = parser.parse_args()
    calculations = list(read_extxyz(DATA))
    if arguments.model is not None:
        predicted(calculations, arguments.model, arguments.structures)
        return
    materials = sorted({each.atoms.info["material"] for each in calculations})
    half = np.random.default_rng(7).permutation(materials)[: len(materials) // 2]
    computed(
        [
            each
            for each in calculations
            if (each.atoms.info["material"] in half) == arguments.chosen_on
        ]
    )


if __name__ == "__main__":
    main()
