"""Rules by which weighed terms become one vector; each gives what every term adds to it, to be explained by."""

import numpy as np

from core.errors import QueryError
from core.query import Rule
from core.types import Vector, Vectors

_PARALLEL = 1e-4


def mixed_parts(rule: Rule, units: Vectors, weights: Vector) -> Vectors:
    """Return what each term adds, shape (terms, dim), not scaled; the product rules begin from the sum, too.

    units: centred unit rows, shape (terms, dim); weights: shape (terms,), negative to subtract. Raises QueryError.
    """
    if rule is Rule.SLERP:
        return _slerp(units, weights)
    if rule is Rule.PROJECT_OUT:
        return _projected_out(units, weights)
    added: Vectors = weights[:, None] * units
    return added


def _slerp(units: Vectors, weights: Vector) -> Vectors:
    """Go from term to term on the sphere, by the share of the weights so far (Shoemake 1985).

    Between a and b at the angle t, a share l along: sin((1-l)t)/sin(t) a + sin(l t)/sin(t) b; along a straight line
    where the two are parallel. What is subtracted is gone away from: towards its opposite.
    """
    directions = np.sign(weights)[:, None] * units
    shares = np.zeros(len(weights), np.float32)
    shares[0], so_far = 1.0, abs(float(weights[0]))
    for turn in range(1, len(weights)):
        here = shares @ directions
        along = abs(float(weights[turn])) / (so_far + abs(float(weights[turn])))
        so_far += abs(float(weights[turn]))
        angle = np.arccos(np.clip(here @ directions[turn] / max(float(np.linalg.norm(here)), _PARALLEL), -1, 1))
        near = np.sin(angle) < _PARALLEL
        keep = 1 - along if near else np.sin((1 - along) * angle) / np.sin(angle)
        shares *= np.float32(keep)
        shares[turn] = along if near else np.sin(along * angle) / np.sin(angle)
    found: Vectors = shares[:, None] * directions
    return found


def _projected_out(units: Vectors, weights: Vector) -> Vectors:
    """Add what is added, and take from that sum all that lies along what is subtracted: x - (x . d) d.

    Several such directions are taken out together (least squares); a weight below 1 takes out that share.
    """
    taken = weights < 0
    if taken.all():
        raise QueryError("there is nothing left of which something could be projected out; add a term, too")
    parts: Vectors = np.where(taken, 0, weights)[:, None] * units
    if taken.any():
        along, *_ = np.linalg.lstsq(units[taken].T, parts.sum(axis=0), rcond=None)
        parts[taken] = -(np.minimum(-weights[taken], 1) * along)[:, None] * units[taken]
    return parts
