"""How alike two images are, as arrays with values in [-1, 1]."""

import numpy as np


def mean_error(drawn: np.ndarray, expected: np.ndarray) -> float:
    """Mean absolute difference; 2 between black and white."""
    return float(np.abs(same_shape(drawn, expected)).mean())


def largest_error(drawn: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference."""
    return float(np.abs(same_shape(drawn, expected)).max())


def psnr(drawn: np.ndarray, expected: np.ndarray) -> float:
    """Peak signal-to-noise ratio in dB: 0 between black and white, infinite for the same."""
    mean_square = float(np.square(same_shape(drawn, expected)).mean())
    return float(10 * np.log10(4 / mean_square)) if mean_square else float("inf")


def same_shape(drawn: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """The difference, in double precision."""
    assert drawn.shape == expected.shape, (drawn.shape, expected.shape)
    return drawn.astype(np.float64) - expected
