"""Interpolate the bands of a crystal to any k-points, with errors of some meV.

The periodic parts of the Bloch functions change little over the Brillouin zone. A few
hundred combinations of those that ``pw.x`` found on a coarse grid therefore hold those
at all k-points, and the Hamiltonian in them is a small matrix (E. L. Shirley, Phys.
Rev. B 54, 16464, 1996). Unlike an interpolation of the energies this knows nothing of
bands that cross: it is a calculation with the same potential in a smaller basis.

Atomic units with Rydberg in this file, but for what is returned.
"""

import math
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
from scipy.io import FortranFile
from scipy.linalg import block_diag, eigh, solve_triangular
from scipy.special import eval_genlaguerre


RYDBERG = 13.605693122994  # eV
# Combinations whose share of the sampled functions is smaller are left out. With 1e-6,
# errors are half of that and each k-point takes twice the time.
BASIS_THRESHOLD = 1e-5
# How far beyond the first Brillouin zone functions are taken, so that all k-points in
# it lie between such functions.
MARGIN = 1.2


class Interpolation:
    """
    Hold the Hamiltonian of a finished ``pw.x`` run in a small basis.

    :param folder: with ``pw.save`` (density and wave functions of all k-points, k and
        -k being the same), ``pw.xml``, and the local potential that ``pp.x`` wrote as
        ``potential`` (``plot_num = 1``)
    :param pseudopotentials: of each symbol, the GTH pseudopotential in ABINIT's form
    :param bands: number of bands to return
    """

    def __init__(
        self, folder: Path, pseudopotentials: dict[str, str], bands: int
    ) -> None:
        root = ElementTree.parse(folder / "pw.xml").getroot()
        structure = root.find("output/atomic_structure")
        self.cutoff = 2 * float(root.findtext("output/basis_set/ecutwfc"))  # Hartree
        cell = [structure.find(f"cell/a{axis}").text.split() for axis in (1, 2, 3)]
        self.bands = bands
        self.cell = np.array(cell, dtype=float)
        self.reciprocal = 2 * np.pi * np.linalg.inv(self.cell).T
        self.volume = abs(np.linalg.det(self.cell))
        self.miller, self.basis = self._find_basis(folder / "pw.save")
        self.waves = self.miller @ self.reciprocal
        kinetic = np.sum(self.waves**2, axis=1)
        potential = read_potential(folder / "potential")
        self.mean_potential = potential.mean()
        local = self._apply_potential(potential)
        adjoint = self.basis.conj().T
        self.constant = adjoint @ (local + kinetic[:, None] * self.basis)
        # Of what is small, six digits are enough.
        self.basis_single = self.basis.astype(np.complex64)
        self.local_single = local.astype(np.complex64)
        self.linear = [
            2 * adjoint @ (self.waves[:, axis, None] * self.basis) for axis in range(3)
        ]
        self.projectors = {
            symbol: read_projectors(text) for symbol, text in pseudopotentials.items()
        }
        self.atoms = [
            (
                atom.get("name"),
                np.exp(1j * self.waves @ np.array(atom.text.split(), float)),
            )
            for atom in structure.findall("atomic_positions/atom")
        ]

    def _find_basis(self, folder: Path) -> tuple[np.ndarray, np.ndarray]:
        """Find plane waves, and the orthonormal functions in them."""
        steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1)
        steps = steps.reshape(-1, 3)
        faces = (steps @ self.reciprocal)[np.any(steps != 0, axis=1)]
        samples = []
        for path in sorted(folder.glob("wfc*.dat")):
            kpoint, miller, functions = read_functions(path)
            fraction = self.cell @ kpoint / (2 * np.pi)
            for sign in (1, -1) if np.any(np.abs(fraction) > 1e-8) else (1,):
                values = functions if sign == 1 else functions.conj()
                start = sign * fraction - np.rint(sign * fraction)
                moved = np.rint(start - sign * fraction).astype(int)
                for step in steps:
                    place = (start + step) @ self.reciprocal
                    beyond = 2 * faces @ place / np.sum(faces**2, axis=1)
                    if beyond.max() < MARGIN:
                        samples.append((sign * miller - moved - step, values))
        everything = np.concatenate([miller for miller, _ in samples])
        waves, inverse = np.unique(everything, axis=0, return_inverse=True)
        inverse = inverse.ravel()
        functions = np.zeros(
            (len(waves), sum(len(values) for _, values in samples)), dtype=complex
        )
        row = column = 0
        for miller, values in samples:
            rows = inverse[row : row + len(miller)]
            functions[rows, column : column + len(values)] = values.T
            row += len(miller)
            column += len(values)
        functions /= math.sqrt(len(samples))
        if len(waves) <= column:
            _, basis = _largest(functions @ functions.conj().T)
        else:
            shares, mixing = _largest(functions.conj().T @ functions)
            basis = functions @ (mixing / np.sqrt(shares))
        return waves, basis

    def _apply_potential(self, potential: np.ndarray) -> np.ndarray:
        """Multiply the basis by the local potential."""
        result = np.empty_like(self.basis)
        place = tuple(self.miller.T)
        for column, function in enumerate(self.basis.T):
            box = np.zeros(potential.shape, dtype=complex)
            box[place] = function
            box = np.fft.fftn(np.fft.ifftn(box) * potential)
            result[:, column] = box[place]
        return result

    def energies(self, kpoints: np.ndarray) -> np.ndarray:
        """
        Compute the bands.

        :param kpoints: relative to the reciprocal lattice vectors, ``(k-points, 3)``
        :return: energies, ``(k-points, bands)``, eV
        """
        return np.array([self._energies(kpoint) for kpoint in kpoints])

    def _energies(self, kpoint: np.ndarray) -> np.ndarray:
        """Diagonalise the Hamiltonian at one k-point."""
        place = self._fold(kpoint)
        hamiltonian = self.constant.copy()
        for axis in range(3):
            hamiltonian += place[axis] * self.linear[axis]
        hamiltonian[np.diag_indices_from(hamiltonian)] += place @ place
        # pw.x has the plane waves up to the cut-off at this very k-point, the basis a
        # few more. The potential between those that are left out is of second order
        # in their small share, so that its mean will do.
        vectors = self.waves + place
        squares = np.sum(vectors**2, axis=1)
        out = np.flatnonzero(squares > self.cutoff)
        shares = 0.5 * (squares[out, None] - self.mean_potential)
        excess, removed = self.basis_single[out], self.local_single[out]
        removed += shares.astype(np.float32) * excess
        size = len(hamiltonian)
        products = excess.conj().T @ np.hstack([excess, removed])
        hamiltonian -= products[:, size:] + products[:, size:].conj().T
        overlap = np.eye(size) - products[:, :size]
        projections, weighted = self._project(vectors, squares, out)
        hamiltonian += projections.conj().T @ weighted
        factor = solve_triangular(
            np.linalg.cholesky(overlap),
            np.eye(len(overlap)),
            lower=True,
            check_finite=False,
        )
        hamiltonian = factor @ hamiltonian @ factor.conj().T
        return np.linalg.eigvalsh(hamiltonian)[: self.bands] * RYDBERG

    def _fold(self, kpoint: np.ndarray) -> np.ndarray:
        """Move a k-point into the first Brillouin zone."""
        start = kpoint - np.rint(kpoint)
        steps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1)
        places = (start + steps.reshape(-1, 3)) @ self.reciprocal
        return places[np.argmin(np.sum(places**2, axis=1).round(10))]

    def _project(
        self, vectors: np.ndarray, squares: np.ndarray, out: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Project the basis on the atoms' functions; also times their strengths."""
        shared: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
        functions, strengths = [], []
        for symbol, phase in self.atoms:
            if symbol not in shared:
                shared[symbol] = [
                    (
                        solid_harmonics(vectors, angular)[:, None]
                        * radial_functions(squares, radius, angular, len(matrix)),
                        matrix,
                    )
                    for angular, radius, matrix in self.projectors[symbol]
                ]
            for shapes, matrix in shared[symbol]:
                functions.append((shapes * phase).reshape(-1, len(phase)))
                strengths += [matrix / self.volume] * len(shapes)
        if not functions:
            empty = np.zeros((0, self.basis.shape[1]))
            return empty, empty
        rows = np.concatenate(functions)
        rows[:, out] = 0
        projections = rows @ self.basis
        return projections, block_diag(*strengths) @ projections


def _largest(products: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the eigenvalues above the threshold, and their vectors."""
    return eigh(
        products,
        subset_by_value=(BASIS_THRESHOLD, np.inf),
        overwrite_a=True,
        check_finite=False,
    )


def read_functions(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """
    Read the wave functions of one k-point.

    :param path: ``wfc*.dat``
    :return: k-point, ``(3,)``; Miller indices, ``(waves, 3)``; coefficients, ``(bands,
        waves)``
    """
    with FortranFile(path) as file:
        head = file.read_record("i4, (3,)f8, i4, i4, f8")
        _, waves, _, bands = file.read_ints()
        file.read_reals()
        miller = file.read_ints().reshape(waves, 3)
        functions = np.array([file.read_record(complex) for _ in range(bands)])
    return head["f1"][0], miller, functions


def read_potential(path: Path) -> np.ndarray:
    """
    Read what ``pp.x`` wrote.

    :param path: its ``filplot``
    :return: values on the grid, Ry
    """
    with path.open() as file:
        file.readline()
        sizes = [int(word) for word in file.readline().split()]
        padded, shape, atoms, species = sizes[:3], sizes[3:6], sizes[6], sizes[7]
        if int(file.readline().split()[0]) == 0:
            for _ in range(3):
                file.readline()
        for _ in range(1 + species + atoms):
            file.readline()
        values = np.array(file.read().split(), dtype=float)
    return values.reshape(padded, order="F")[: shape[0], : shape[1], : shape[2]]


def read_projectors(text: str) -> list[tuple[int, float, np.ndarray]]:
    """
    Read the non-local part of a GTH pseudopotential in ABINIT's form.

    :param text: content of the file
    :return: for each angular momentum: it, the radius, and the matrix of strengths
    """
    lines = iter(text.splitlines()[4:])
    channels = []
    for angular in range(int(next(lines))):
        words = next(lines).split()
        radius, size = float(words[0]), int(words[1])
        if size == 0:
            continue
        rows = [words[2:], *(next(lines).split() for _ in range(size - 1))]
        if angular > 0:
            for _ in range(size):
                next(lines)  # of spin and orbit
        strengths = np.zeros((size, size))
        for index, row in enumerate(rows):
            strengths[index, index:] = strengths[index:, index] = np.array(row, float)
        # Hartree in the file.
        channels.append((angular, radius, 2 * strengths))
    return channels


def radial_functions(
    squares: np.ndarray, radius: float, angular: int, number: int
) -> np.ndarray:
    """
    Transform the radial parts of the projectors, less the power of the wave vector.

    A projector is ``r**(angular + 2 n) * exp(-r**2 / (2 radius**2))``, of norm 1.

    :param squares: squared wave vectors, ``(waves,)``
    :param radius: its radius
    :param angular: angular momentum
    :param number: how many of them
    :return: ``(number, waves)``
    """
    x = 0.5 * radius**2 * squares
    rows = []
    for n in range(number):
        power = angular + 2 * n + 1.5
        norm = math.sqrt(2 / (radius ** (2 * power) * math.gamma(power)))
        factor = norm * 2**n * math.factorial(n) * radius ** (2 * n + 2 * angular + 3)
        polynomial = eval_genlaguerre(n, angular + 0.5, x)
        rows.append(4 * math.pi * math.sqrt(math.pi / 2) * factor * polynomial)
    return np.array(rows) * np.exp(-x)


def solid_harmonics(vectors: np.ndarray, angular: int) -> np.ndarray:
    """
    Compute real solid harmonics: the length to the power of l, times the spherical one.

    :param vectors: ``(points, 3)``
    :param angular: angular momentum l, up to 2
    :return: ``(2 l + 1, points)``
    """
    x, y, z = vectors.T
    if angular == 0:
        return np.full((1, len(vectors)), math.sqrt(1 / (4 * math.pi)))
    if angular == 1:
        return math.sqrt(3 / (4 * math.pi)) * vectors.T
    if angular == 2:
        root = math.sqrt(15 / (4 * math.pi))
        square = x**2 + y**2 + z**2
        return root * np.array(
            [
                x * y,
                y * z,
                x * z,
                (x**2 - y**2) / 2,
                (3 * z**2 - square) / math.sqrt(12),
            ]
        )
    raise ValueError(f"angular momentum: expected 0 to 2, got {angular}")
