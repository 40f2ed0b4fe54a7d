"""Features by name, as configurations and checkpoints list them, and what reads them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from equiload.agents.eglb import EGLB
from equiload.envs import DataError
from equiload.envs.forecast import Forecaster
from equiload.envs.gym.features import (
    ExpertPrices,
    Feature,
    ForecastMeans,
    Place,
    RecentPast,
    SlotsLeft,
)

#: Features that need nothing but the slots. ``forecast`` besides needs a forecaster.
FEATURES: Mapping[str, Callable[[], Feature]] = {
    "expert_prices": lambda: ExpertPrices(EGLB()),
    "place": Place,
    "recent_past": RecentPast,
    "slots_left": SlotsLeft,
}
FORECAST = "forecast"


def make_features(
    names: Sequence[str], forecaster: Forecaster | None = None
) -> tuple[Feature, ...]:
    """New features of these names, in this order.

    Raises
    ------
    DataError
        For a name that is not known, or ``forecast`` without a forecaster.
    """
    made: list[Feature] = []
    for name in names:
        if name == FORECAST:
            if forecaster is None:
                raise DataError("the feature 'forecast' needs a forecaster: pass forecaster=…")
            made.append(ForecastMeans(forecaster))
        elif name in FEATURES:
            made.append(FEATURES[name]())
        else:
            known = ", ".join((*FEATURES, FORECAST))
            raise DataError(f"there is no feature {name!r}, expected some of {known}")
    return tuple(made)
