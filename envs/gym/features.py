"""Features beside the standard ones: made of the slots seen so far, the same whatever is played.

An environment, a simulator or an :class:`~equiload.envs.gym.AgentPolicy` takes any number of them
as ``features=``. Adding one is a class with the two methods of :class:`Feature`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np

from equiload.envs.arrays import namespace
from equiload.envs.checking import checked, shown
from equiload.envs.errors import DataError
from equiload.envs.forecast import Forecaster, History, Recorder
from equiload.envs.make import Spec, Trust, make
from equiload.envs.policy import LoadPolicy, Trajectory
from equiload.envs.series import Series
from equiload.envs.setting import Setting, Slot
from equiload.envs.typing import Array, FloatArray, Positive

#: What the entries of a block belong to. A ``common`` block of a feature has one entry.
Axis: TypeAlias = Literal["datacenter", "region", "gateway", "class", "common"]

#: Multipliers are told apart down to this share of equal weights.
_FAINTEST = 1e-6
#: Defaults of every environment: logits per unit of action, and a usual price, US$/MWh. The first
#: is that of :class:`ExpertPrices` too, which is then the action that repeats the expert's prices.
ACTION_SCALE, PRICE_SCALE = 4.0, 100.0


@runtime_checkable
class Feature(Protocol):
    """Exogenous features of order one, a few blocks of them.

    Examples
    --------
    >>> class DemandLevel:
    ...     def reset(self, setting, *, price_scale):
    ...         self.total = setting.fleet.capacity.sum()
    ...         return {"demand_level": "common"}
    ...
    ...     def observe(self, slot):
    ...         return slot.demand.sum(-1, keepdims=True) / self.total
    >>> from equiload.envs.gym import GLBEnv
    >>> GLBEnv(horizon=24, features=[DemandLevel()]).feature_names[-1]
    'demand_level'
    """

    def reset(self, setting: Setting, *, price_scale: float) -> Mapping[str, Axis]:
        """Begin an episode (or a batch); return the blocks by name, and whose entries they hold.

        ``price_scale``, US$/MWh, is the observer's: a usual price.
        """
        ...

    def observe(self, slot: Slot) -> FloatArray:
        """Features ``[..., width]``, the blocks side by side, of the slot that begins."""
        ...


@runtime_checkable
class PricingPolicy(LoadPolicy, Protocol):
    """An online policy that dispatches at shadow prices: eGLB, for one."""

    @property
    def multipliers(self) -> FloatArray:
        """``[..., K, R]``, at least 0: what it will price the next slot at."""
        ...


class ExpertPrices:
    """Shadow prices of an expert that runs beside on its own virtual trajectory.

    Blocks ``expert_KIND``, R each: ``log(R γ[k, r]) / 4``, which is 0 at equal weights, and is the
    action that repeats the expert's prices (with the default ``action_scale``).

    Parameters
    ----------
    expert
        It is reset and driven by the feature.

    Examples
    --------
    >>> from equiload.agents import EGLB
    >>> from equiload.envs.gym import GLBEnv
    >>> env = GLBEnv(horizon=24, features=[ExpertPrices(EGLB())], observation="dict")
    >>> env.reset(seed=0)[0]["expert_carbon"].shape
    (10,)
    """

    def __init__(self, expert: PricingPolicy) -> None:
        self.expert = expert

    def reset(self, setting: Setting, *, price_scale: float) -> Mapping[str, Axis]:
        """See :class:`Feature`."""
        del price_scale
        self._driven = Trajectory(self.expert)
        self._driven.reset(setting)
        return {f"expert_{kind}": "region" for kind in setting.objective.footprints}

    def observe(self, slot: Slot) -> FloatArray:
        """See :class:`Feature`."""
        logits: FloatArray = logits_of(self.expert.multipliers)
        self._driven.loads(slot)
        return logits


class ForecastMeans:
    """Means of a forecast, over the next hours and over all that is left; the slot is counted in.

    Blocks ``next_price``, ``next_intensity_KIND`` (N each) and ``next_demand`` (J), then the same
    as ``rest_…``; scaled as the observer's own price, intensity and demand. Of samples the mean.

    Parameters
    ----------
    forecaster
        A function of the history; it is never told what was played.
    hours
        How far ``next_…`` looks.

    Examples
    --------
    >>> from equiload.agents.forecast import SameHour
    >>> from equiload.envs.gym import GLBEnv
    >>> env = GLBEnv(horizon=24, features=[ForecastMeans(SameHour())], observation="dict")
    >>> env.reset(seed=0)[0]["next_price"].shape
    (10,)
    """

    @checked
    def __init__(self, forecaster: Forecaster, *, hours: Positive = 24.0) -> None:
        self.forecaster, self.hours = forecaster, hours

    def reset(self, setting: Setting, *, price_scale: float) -> Mapping[str, Axis]:
        """See :class:`Feature`."""
        self._horizon, self._recorder = setting.horizon, Recorder(setting.horizon)
        total = max(float(setting.fleet.capacity.sum()), 1e-300)
        self._demand = len(setting.fleet.gateways) / total
        self._local = _local_scale(setting, price_scale)
        blocks: dict[str, Axis] = {}
        for stretch in ("next", "rest"):
            blocks |= {f"{stretch}_{name}": "datacenter" for name in _local_names(setting)}
            blocks[f"{stretch}_demand"] = "gateway"
        return blocks

    def observe(self, slot: Slot) -> FloatArray:
        """See :class:`Feature`."""
        history = self._recorder.record(slot)
        series = history.seen.map(lambda array: array[..., -1:, :])
        later = self._horizon - history.slots
        if later:
            ahead = self.forecaster.forecast(history, later)
            series = series.zip(
                ahead.map(lambda array: array.mean(0)),
                lambda now, then: np.concatenate([now, then], axis=-2),
            )
        near = max(1, round(self.hours * history.slots_per_day / 24))
        parts = []
        for stretch in (slice(0, near), slice(None)):
            mean = series.map(lambda array, cut=stretch: array[..., cut, :].mean(-2))  # type: ignore[misc]
            local = _local(mean) * self._local
            parts += [local.reshape(*local.shape[:-2], -1), mean.demand * self._demand]
        return np.concatenate(parts, axis=-1)


class RecentPast:
    """What a day of history tells of each data center's price and intensities.

    Per series ``x`` of ``price``, ``intensity_KIND``, N each, scaled as the observer's own:
    ``day_x`` mean of the last 24 hours, ``again_x`` the value 24 hours before the next slot
    (before a day has passed: the current one), ``spread_x`` standard deviation so far.
    """

    def reset(self, setting: Setting, *, price_scale: float) -> Mapping[str, Axis]:
        """See :class:`Feature`."""
        self._scale = _local_scale(setting, price_scale)
        self._recorder = Recorder(setting.horizon)
        self._sum = self._squares = self._day_sum = np.zeros(())
        names = _local_names(setting)
        return {
            f"{statistic}_{name}": "datacenter"
            for statistic in ("day", "again", "spread")
            for name in names
        }

    def observe(self, slot: Slot) -> FloatArray:
        """See :class:`Feature`."""
        history = self._recorder.record(slot)
        slots, day = history.slots, history.slots_per_day
        now = self._at(history, slots - 1)
        self._sum, self._squares = self._sum + now, self._squares + now**2
        self._day_sum = self._day_sum + now
        if slots > day:
            self._day_sum = self._day_sum - self._at(history, slots - 1 - day)
        mean = self._sum / slots
        spread = np.sqrt(np.maximum(self._squares / slots - mean**2, 0.0))
        again = self._at(history, slots - day) if slots >= day else now
        statistics = np.stack([self._day_sum / min(slots, day), again, spread], axis=-3)
        return statistics.reshape(*statistics.shape[:-3], -1)

    def _at(self, history: History, t: int) -> FloatArray:
        """``[..., 1 + K, N]``: price and intensities of slot ``t``, scaled."""
        return _local(history.seen.map(lambda array: array[..., t, :])) * self._scale


class SlotsLeft:
    """How many slots are left, not as a share: block ``slots_left``, ``log(slots left) / 5``."""

    def reset(self, setting: Setting, *, price_scale: float) -> Mapping[str, Axis]:
        """See :class:`Feature`."""
        del price_scale
        self._horizon, self._batch = setting.horizon, setting.batch
        return {"slots_left": "common"}

    def observe(self, slot: Slot) -> FloatArray:
        """See :class:`Feature`."""
        return np.full((*self._batch, 1), np.log(self._horizon - slot.index) / 5.0)


class Place:
    """Where each data center lies, and where the sun stands there: what is known beforehand.

    Blocks of N entries: ``sun_sin`` and ``sun_cos`` of the local solar hour, ``season_sin`` and
    ``season_cos`` of the time of year (turned round in the south), ``place_0`` … harmonics of
    latitude and longitude, ``place_known`` 1. Where the fleet has no locations all are 0.
    """

    # The shortest wave around the globe tells neighbours 45 degrees apart from each other.
    _HARMONICS = (1, 2, 4, 8)

    def reset(self, setting: Setting, *, price_scale: float) -> Mapping[str, Axis]:
        """See :class:`Feature`."""
        del price_scale
        fleet = setting.fleet
        N = len(fleet.datacenters)
        self._batch, self._known = setting.batch, fleet.location is not None
        place = np.zeros((N, 2)) if fleet.location is None else np.radians(fleet.location)
        latitude, longitude = place.T
        waves = [turn(n * longitude) for n in self._HARMONICS for turn in (np.sin, np.cos)]
        waves += [turn(n * latitude) for n in (1, 2, 4) for turn in (np.sin, np.cos)]
        self._fixed = np.concatenate([*waves, np.ones(N)]) * float(self._known)
        self._longitude, self._south = longitude, np.where(latitude < 0, -1.0, 1.0)
        names = ["sun_sin", "sun_cos", "season_sin", "season_cos"]
        names += [f"place_{n}" for n in range(len(waves))]
        return dict.fromkeys([*names, "place_known"], "datacenter")

    def observe(self, slot: Slot) -> FloatArray:
        """See :class:`Feature`."""
        seconds = np.asarray(slot.timestamp).astype("datetime64[s]").astype(np.int64)[..., None]
        sun = 2 * np.pi * seconds / 86400.0 + self._longitude
        year = 2 * np.pi * seconds / (365.25 * 86400.0)
        waves = [np.sin(sun), np.cos(sun), np.sin(year) * self._south, np.cos(year) * self._south]
        moving = np.concatenate(waves, axis=-1) * float(self._known)
        fixed = np.broadcast_to(self._fixed, (*self._batch, len(self._fixed)))
        return np.concatenate([moving, fixed], axis=-1)


def logits_of(multipliers: Array) -> Array:
    """``log(R γ[k, r]) / 4`` of multipliers ``[..., K, R]``, flat: 0 at equal weights."""
    xp = namespace(multipliers)
    share = xp.clip(multipliers * multipliers.shape[-1], _FAINTEST, None)
    return xp.log(share).reshape(*share.shape[:-2], -1) / ACTION_SCALE


def _local_names(setting: Setting) -> list[str]:
    return ["price", *(f"intensity_{kind}" for kind in setting.objective.footprints)]


def _local_scale(setting: Setting, price_scale: float) -> FloatArray:
    """``[1 + K, 1]``: what price and intensities are multiplied by, as in the observer."""
    weight = setting.objective.mu / (price_scale * len(setting.fleet.regions))
    return np.append(1.0 / price_scale, weight)[:, None]


def _local(series: Series) -> FloatArray:
    """``[..., 1 + K, N]``: price and intensities of series without their axis of time."""
    local: FloatArray = np.concatenate([series.price[..., None, :], series.intensity], axis=-2)
    return local


def make_features(
    features: Sequence[Spec | Feature], forecaster: Forecaster | None = None, trust: Trust = True
) -> tuple[Feature, ...]:
    """Build features (:func:`~equiload.envs.make.make`); ``forecaster`` is for those that take one.

    Raises
    ------
    DataError
        For one that is not known, or needs a forecaster and is given none.
    """
    offered = {} if forecaster is None else {"forecaster": forecaster}
    if isinstance(features, str | Mapping) or not isinstance(features, Iterable):
        raise DataError(f"features must be a list, got {shown(features)}")
    return tuple(make("feature", f, like=Feature, trust=trust, **offered) for f in features)
