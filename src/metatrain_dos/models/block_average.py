"""Means and standard errors of correlated frames, in bounded memory."""

import numpy as np


class BlockAverage:
    """
    Average arrays that come one by one, with an error that knows of correlations.

    Frames of a trajectory resemble their neighbours, so that their standard deviation
    over the square root of their number is too small an error. The means of blocks of
    1, 2, 4, ... frames are collected at the same time (Flyvbjerg and Petersen, J. Chem.
    Phys. 91, 461, 1989). The error is that of the shortest blocks of B out of n frames
    with :math:`B^3 > 2 n s^4`, where s is its ratio to the error of single frames (Lee
    et al., Phys. Rev. E 83, 066706, 2011).
    """

    def __init__(self) -> None:
        self.count = 0
        # For blocks of 2^i frames: number, mean and sum of squared deviations.
        self._numbers: list[int] = []
        self._means: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []
        self._pending: list[np.ndarray | None] = []

    def add(self, values: np.ndarray) -> None:
        """
        Add a frame.

        :param values: numbers of one frame, of the same shape as those before
        """
        self.count += 1
        block, level = np.asarray(values, dtype=np.float64), 0
        while True:
            if level == len(self._numbers):
                self._numbers.append(0)
                self._means.append(np.zeros_like(block))
                self._squares.append(np.zeros_like(block))
                self._pending.append(None)
            self._numbers[level] += 1
            difference = block - self._means[level]
            self._means[level] = self._means[level] + difference / self._numbers[level]
            self._squares[level] += difference * (block - self._means[level])
            first = self._pending[level]
            if first is None:
                self._pending[level] = block
                return
            self._pending[level] = None
            block, level = 0.5 * (first + block), level + 1

    @property
    def mean(self) -> np.ndarray:
        """Mean over all frames, with the shape of one."""
        return self._means[0]

    @property
    def error(self) -> np.ndarray:
        """Standard error of the mean, with the shape of one frame; NaN of one frame."""
        if self.count < 2:
            return np.full_like(self._means[0], np.nan)
        errors = np.array(
            [
                np.sqrt(squares / (number * (number - 1)))
                for number, squares in zip(self._numbers, self._squares, strict=True)
                if number > 1
            ]
        )
        sizes = 2.0 ** np.arange(len(errors)).reshape(-1, *[1] * self.mean.ndim)
        with np.errstate(divide="ignore", invalid="ignore"):
            factors = np.nan_to_num(errors / errors[0], nan=1.0)
        is_long = sizes**3 > 2 * self.count * factors**4
        # The longest ones where none is long enough: too few frames, and an estimate.
        level = np.where(is_long.any(0), is_long.argmax(0), len(errors) - 1)
        return np.take_along_axis(errors, level[None], axis=0)[0]
