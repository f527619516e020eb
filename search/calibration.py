"""From a score to the chance that a suggestion is accepted (Platt 1999), learned from the answers to earlier ones."""

from dataclasses import dataclass

import numpy as np

from core.types import Vector

LEAST, LEAST_EACH = 50, 5
"""Answers before a confidence is shown, and how many of them must be yes, and no."""
_STEPS = 100
_DONE = 1e-8


@dataclass(frozen=True)
class Calibration:
    """confidence = 1 / (1 + exp(-(slope score + offset))), with slope > 0: it never changes an order."""

    slope: float
    offset: float

    def __call__(self, score: float) -> float:
        """Return the confidence, 0..1, in a score."""
        return float(np.exp(-np.logaddexp(0, -(self.slope * score + self.offset))))


def calibrate(scores: Vector, accepted: Vector) -> Calibration | None:
    """Fit answers, 1 for yes and 0 for no, to scores; both of shape (n,).

    None where there are too few, or where what scores higher was not accepted more often. The targets are Platt's,
    which keep the fit from being surer than so few answers can be (Lin et al. 2007 for the Newton steps).
    """
    yes = int(np.count_nonzero(accepted))
    no = len(accepted) - yes
    if yes + no < LEAST or min(yes, no) < LEAST_EACH:
        return None
    targets = np.where(accepted > 0, (yes + 1) / (yes + 2), 1 / (no + 2))
    middle, spread = float(scores.mean()), float(scores.std())
    if spread == 0:
        return None
    x = np.stack([(scores - middle) / spread, np.ones(len(scores))], axis=1).astype(np.float64)
    found = np.array([0.0, np.log((yes + 1) / (no + 1))])
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-(x @ found)))
        gradient = x.T @ (chance - targets)
        curvature = (x.T * np.maximum(chance * (1 - chance), 1e-9)) @ x + 1e-9 * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        found = found - step * min(1.0, 2 / float(np.abs(step).max() or 1))  # far from the end, Newton leaps too far
        if np.abs(step).max() < _DONE:
            break
    slope = float(found[0]) / spread
    return Calibration(slope, float(found[1]) - slope * middle) if slope > 0 else None
