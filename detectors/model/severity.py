"""Severity from sigma, less where only a small share of calls is affected."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.settings import Settings

# However sure, what touches few is a little matter: below this share a sigma stays below this severity.
_BOUNDS = ((0.05, 3), (0.25, 2), (0.6, 1))
_BELOW = 0.01


def severity_of(sigma: float, thresholds: Sequence[float]) -> int:
    """5 (mildest) … 1 (worst); 0 below all `thresholds` (rising, SEV5 first).

    >>> [severity_of(s, (3, 4, 5, 6, 7)) for s in (2.9, 3.0, 4.5, 9.0)]
    [0, 5, 4, 1]
    """
    passed = sum(sigma >= threshold for threshold in thresholds)
    return 6 - passed if passed else 0


def bounded_by_share(sigma: float, share: float, settings: Settings) -> float:
    """Sigma, at most what the share of affected calls deserves.

    >>> bounded_by_share(12.0, 0.04, Settings()), bounded_by_share(12.0, 0.9, Settings())
    (4.99, 12.0)
    """
    thresholds = settings.severity_sigmas()
    for below, severity in _BOUNDS:
        if share < below:
            return min(sigma, thresholds[5 - severity] - _BELOW)
    return sigma
