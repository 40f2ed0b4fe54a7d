"""Recurrences over time and supply curves, compiled: a third of a draw's time without them."""

from numba import njit

from equiload.envs.typing import FloatArray


@njit(cache=True, nogil=True, error_model="numpy")
def autoregress(path: FloatArray, decay: float) -> None:
    """``y_t = decay·y_{t−1} + e_t`` along the middle axis of ``path [B, T, M]``, in place."""
    for b in range(path.shape[0]):
        for t in range(1, path.shape[1]):
            for m in range(path.shape[2]):
                path[b, t, m] += decay * path[b, t - 1, m]


@njit(cache=True, nogil=True, error_model="numpy")
def fade(path: FloatArray, decay: float) -> None:
    """``y_t = max(y_t, decay·y_{t−1})`` along the middle axis of ``path [B, T, M]``, in place."""
    for b in range(path.shape[0]):
        for t in range(1, path.shape[1]):
            for m in range(path.shape[2]):
                path[b, t, m] = max(path[b, t, m], decay * path[b, t - 1, m])


@njit(cache=True, nogil=True, error_model="numpy")
def climb(
    demand: FloatArray, foot: FloatArray, capacity: FloatArray, rises: FloatArray, out: FloatArray
) -> None:
    """Values ``out [V, B, T, R]`` of piecewise linear curves at ``demand [B, T, R]``.

    They begin at ``foot [V, B, R]`` and rise by ``rises [V, B, R, P − 1]`` from each breakpoint
    ``capacity [B, R, P]`` to the next.
    """
    B, T, R = demand.shape
    for b in range(B):
        for t in range(T):
            for r in range(R):
                for v in range(len(foot)):
                    out[v, b, t, r] = foot[v, b, r]
                for k in range(capacity.shape[2] - 1):
                    above = demand[b, t, r] - capacity[b, r, k]
                    if above <= 0.0:
                        break
                    step = max(capacity[b, r, k + 1] - capacity[b, r, k], 1e-9)
                    filled = min(above / step, 1.0)
                    for v in range(len(foot)):
                        out[v, b, t, r] += rises[v, b, r, k] * filled
