"""
Settings of published models, by name.

``pet-mad-dos`` has 4806 columns from -159.6456 eV on in steps of 0.05 eV, a smearing
of 0.3 eV, and a mask that ends 0.9 eV below the lowest energy of the highest band. The
grid is that in the source of pet-mad 1.4.4, the valence electrons are those there and
in upet 0.3.1, which has the same spacing, smearing, mask and number of columns, but no
energies. The 200 columns of padding are those of its training run (arXiv:2508.17418).
"""

from pathlib import Path


PRESETS = {"pet-mad-dos": Path(__file__).with_name("pet_mad_dos.json")}
"""Name -> its ``grid.json``."""


def spec_file(path: Path) -> Path:
    """
    Find the file with the settings of a data set.

    :param path: a ``grid.json``, its folder, or one of :data:`PRESETS`
    :return: path of the file, which may not exist
    """
    if path.is_dir():
        return path / "grid.json"
    return path if path.exists() else PRESETS.get(str(path), path)
