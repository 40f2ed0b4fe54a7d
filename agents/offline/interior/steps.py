"""What an iteration does to every variable: elementwise, over flat arrays.

A variable that is fixed has no barrier: ``lives`` and ``bounded`` are 1 where a bound has one, and
all that belongs to another stays 0. Letters: docs/interior.md.
"""

from typing import NamedTuple

from numba import njit

from equiload.envs.typing import FloatArray


class Barrier(NamedTuple):
    """``[variables]`` each: 1 where ``v >= 0``, and where ``v <= u``, has a barrier."""

    lives: FloatArray
    bounded: FloatArray


class Point(NamedTuple):
    """``[variables]`` each: values, room up to the upper bound, and the prices of both bounds."""

    value: FloatArray
    room: FloatArray
    low: FloatArray
    high: FloatArray


class Step(NamedTuple):
    """``[variables]`` each: changes of values and of the prices of both bounds."""

    value: FloatArray
    low: FloatArray
    high: FloatArray


class Target(NamedTuple):
    """``[variables]`` each: by how much the products at both bounds are to change."""

    low: FloatArray
    high: FloatArray


class Scaled(NamedTuple):
    """``[variables]`` each: what an iteration divides by, and its diagonal ``D``."""

    per_value: FloatArray
    per_room: FloatArray
    diagonal: FloatArray
    unpriced: FloatArray


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def scale(
    at: Point, barrier: Barrier, cost: FloatArray, priced: FloatArray, by: Scaled, aim: Target
) -> tuple[float, float]:
    """Prepare an iteration, ``priced`` being ``Aᵀ·y``; aim at 0.

    Returns the sum of all products and the largest cost that no price explains.
    """
    total, most = 0.0, 0.0
    for j in range(len(cost)):
        lives = barrier.lives[j]
        per_value = lives / (at.value[j] + (1.0 - lives))
        per_room = barrier.bounded[j] / at.room[j]
        low, high = at.value[j] * at.low[j], at.room[j] * at.high[j]
        unpriced = lives * (cost[j] - priced[j] - at.low[j] + at.high[j])
        by.per_value[j], by.per_room[j], by.unpriced[j] = per_value, per_room, unpriced
        by.diagonal[j] = lives / (at.low[j] * per_value + at.high[j] * per_room + (1.0 - lives))
        aim.low[j], aim.high[j] = -low, -high
        total += low + high
        most = max(most, abs(unpriced))
    return total, most


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def pushed(by: Scaled, aim: Target, push: FloatArray, out: FloatArray) -> None:
    """``f = r_d − ξ_l/v + ξ_u/w``, and ``D·f``."""
    for j in range(len(push)):
        f = by.unpriced[j] - aim.low[j] * by.per_value[j] + aim.high[j] * by.per_room[j]
        push[j], out[j] = f, by.diagonal[j] * f


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def step(
    at: Point,
    barrier: Barrier,
    by: Scaled,
    aim: Target,
    priced: FloatArray,
    push: FloatArray,
    out: Step,
) -> tuple[float, float]:
    """The step of all values and prices, ``priced`` being ``Aᵀ·Δy``; and how far each may go."""
    values, prices = 0.0, 0.0
    for j in range(len(push)):
        change = by.diagonal[j] * (priced[j] - push[j])
        low = (aim.low[j] - at.low[j] * change) * by.per_value[j]
        high = (aim.high[j] + at.high[j] * change) * by.per_room[j]
        out.value[j], out.low[j], out.high[j] = change, low, high
        values = max(values, -change * by.per_value[j], change * by.per_room[j])
        falls = -low / (at.low[j] + (1.0 - barrier.lives[j]))
        prices = max(prices, falls, -high / (at.high[j] + (1.0 - barrier.bounded[j])))
    return 1.0 / max(values, 1e-30), 1.0 / max(prices, 1e-30)


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def products(at: Point, by: Step, values: float, prices: float) -> float:
    """Sum of all products after a step so long."""
    total = 0.0
    for j in range(len(at.value)):
        change = values * by.value[j]
        total += (at.value[j] + change) * (at.low[j] + prices * by.low[j])
        total += (at.room[j] - change) * (at.high[j] + prices * by.high[j])
    return total


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def correct(at: Point, barrier: Barrier, by: Step, product: float, aim: Target) -> None:
    """Aim at ``product``, less what the predicted step ``by`` leaves out (Mehrotra)."""
    for j in range(len(at.value)):
        low = product - at.value[j] * at.low[j] - by.value[j] * by.low[j]
        high = product - at.room[j] * at.high[j] + by.value[j] * by.high[j]
        aim.low[j], aim.high[j] = barrier.lives[j] * low, barrier.bounded[j] * high


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def centre(
    at: Point,
    barrier: Barrier,
    by: Step,
    lengths: tuple[float, float],
    product: float,
    aim: Target,
    out: Target,
) -> None:
    """Aim at a tenth to ten times ``product`` where a longer step leaves these (Gondzio)."""
    least, most = 0.1 * product, 10.0 * product
    values, prices = lengths
    for j in range(len(at.value)):
        change = values * by.value[j]
        low = (at.value[j] + change) * (at.low[j] + prices * by.low[j])
        high = (at.room[j] - change) * (at.high[j] + prices * by.high[j])
        low = max(min(max(low, least), most) - low, -most)
        high = max(min(max(high, least), most) - high, -most)
        out.low[j] = aim.low[j] + barrier.lives[j] * low
        out.high[j] = aim.high[j] + barrier.bounded[j] * high


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def move(at: Point, barrier: Barrier, by: Step, values: float, prices: float) -> None:
    """Take a step."""
    for j in range(len(at.value)):
        change = values * by.value[j]
        at.value[j] += change
        at.room[j] -= barrier.bounded[j] * change
        at.low[j] += prices * by.low[j]
        at.high[j] += prices * by.high[j]


@njit(cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"})
def least(cost: FloatArray, priced: FloatArray, widest: FloatArray) -> float:
    """``Σ min(0, c − Aᵀ·y)·u``: what any value in its bounds can save at prices ``y``."""
    total = 0.0
    for j in range(len(cost)):
        total += min(0.0, cost[j] - priced[j]) * widest[j]
    return total
