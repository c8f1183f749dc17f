"""Tell states from noise in a density of states."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import binary_dilation, gaussian_filter1d

from ..data.dos import DEFAULT_SMEARING
from .integrated_dos import IntegratedDOS, cumulative_dos


# Reach of the tails of a level, in units of the smearing: 6e-5 of it are beyond.
TAILS = 4.0

# A DOS whose first columns are above this fraction of its maximum begins with states.
EMPTY = 0.05

# Width of the filter against noise, in units of the smearing.
FILTER = 0.5

# Least width of the filter, in columns: 11 are averaged.
FEWEST = 3.0

# Repetitions by which the smearing of a level is halved; more bring little.
ITERATIONS = 30

# Smallest DOS that is divided by, states/eV
TINY = 1e-300

# Standard deviations that noise is expected to reach.
CONFIDENCE = 4.0


def count_states(
    curve: IntegratedDOS, none: float, smearing: float | None
) -> tuple[IntegratedDOS, float]:
    """
    Count states where a DOS is not empty.

    It is empty where it stays below ``none`` and below twice its size in the first
    columns, except for the tails of smeared levels. White noise with a mean above
    zero has this mean among states, too, which are then lowered by it.

    :param curve: DOS and its integral
    :param none: DOS that counts as none, states/eV
    :param smearing: standard deviation of the Gaussians in the DOS, eV
    :return: the same without what is empty, and the height of the floor among its
        tails, states/eV; unchanged if the first columns contain states or no noise, or
        energies are not equally spaced
    """
    energies, dos = curve.energies, curve.dos
    width = (smearing or DEFAULT_SMEARING) / (energies[1] - energies[0])
    tails = int(np.ceil(TAILS * width))
    smooth = gaussian_filter1d(dos, max(FILTER * width, FEWEST), mode="nearest")
    most = 6 * np.abs(dos[:tails]).mean()
    begin = max(int(np.argmax(smooth > max(none, most))) - tails, tails)
    # Of noise that is cut off at zero, most is zero.
    size = float(np.quantile(np.abs(dos[:begin]), 0.8))
    if not (is_even(energies) and 1e-6 * none < size < EMPTY * dos.max()):
        return curve, 0.0
    filled = binary_dilation(smooth > max(none, 2 * size), iterations=tails)
    front = dos[: max(np.argmax(filled), 5)]
    floor = max(float(front.mean()), 0.0)
    noise = white_noise(front)
    # Noise that is cut off at zero is white, too, but is zero half of the time.
    if np.mean(front == 0) < 0.25 and noise > 0.5 * front.std():
        if floor > 3 * noise / np.sqrt(len(front)):
            dos = dos - floor
        floor = 0.0
    dos = np.where(filled, dos, 0.0)
    return IntegratedDOS(energies, dos, cumulative_dos(dos, energies)), floor


def is_even(energies: np.ndarray) -> bool:
    """Tell whether there are enough energies, equally spaced, to see noise."""
    steps = np.diff(energies)
    return len(steps) > 8 and bool(np.ptp(steps) < 1e-6 * steps[0])


def white_noise(dos: np.ndarray) -> float:
    """
    Estimate the noise from column to column.

    :param dos: density of states, at least ``(5,)``, states/eV
    :return: standard deviation, states/eV, from fourth differences, in which a DOS with
        a smearing of six columns or more all but disappears
    """
    # Those of white noise of variance 1 have the variance 1 + 16 + 36 + 16 + 1.
    size = np.median(np.abs(np.diff(dos, 4)))
    return float(size / (0.6745 * np.sqrt(70)))


def smoothed(
    curve: IntegratedDOS, noise: float, smearing: float | None
) -> tuple[IntegratedDOS, float, float | None]:
    """
    Filter noise out of a DOS with another Gaussian.

    :param curve: DOS and its integral
    :param noise: standard deviation of the noise, states/eV
    :param smearing: standard deviation of the Gaussians in the DOS, eV
    :return: DOS with more smearing, the height (states/eV) that the noise is not
        expected to exceed in it, and its smearing, eV
    """
    step = curve.energies[1] - curve.energies[0]
    width = FILTER * (smearing or DEFAULT_SMEARING)
    dos = gaussian_filter1d(curve.dos, width / step, mode="nearest")
    left = CONFIDENCE * noise * np.sqrt(step / (2 * np.sqrt(np.pi) * width))
    more = float(np.hypot(smearing, width)) if smearing else None
    return replace(curve, dos=dos), float(left), more


def sharpened(curve: IntegratedDOS, smearing: float) -> tuple[IntegratedDOS, float]:
    r"""
    Undo a part of the smearing of a DOS without noise.

    The image space reconstruction algorithm (Daube-Witherspoon and Muehllehner, IEEE
    Trans. Med. Imaging 5, 61 (1986)) approaches the DOS :math:`r \geq 0` whose smeared
    form :math:`G r` is closest to the given :math:`D`, by multiplication with
    :math:`G D / G G r`. A single level stays a Gaussian.

    :param curve: DOS and its integral, at equally spaced energies
    :param smearing: standard deviation of the Gaussians in the DOS, eV
    :return: DOS with less smearing, and its smearing, eV
    """
    step = curve.energies[1] - curve.energies[0]

    def smeared(dos: np.ndarray, width: float) -> np.ndarray:
        return gaussian_filter1d(dos, width / step, mode="nearest", truncate=6.0)

    first = np.maximum(smeared(curve.dos, smearing), 0.0)
    dos, double = first, 2 * smearing**2
    variance = double
    for _ in range(ITERATIONS):
        dos = dos * first / np.maximum(smeared(dos, np.sqrt(double)), TINY)
        variance = 1 / (1 / variance + 1 / double - 1 / (variance + double))
    return replace(curve, dos=dos), float(np.sqrt(variance))
