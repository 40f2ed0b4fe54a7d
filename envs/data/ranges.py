"""What differs from one draw of the generator to the next: domain randomisation."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_type_hints

from equiload.envs.checking import refuse_unknown
from equiload.envs.errors import DataError

#: A number, or the low and the high end of a range to draw from.
Range = float | tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Ranges:
    """What is drawn anew for every instance, uniformly within ``(low, high)``, or a fixed number.

    Annotated is where a range may lie at all.

    Parameters
    ----------
    year
        Calendar year of the first slot.
    day
        Day of the year of the first slot: the season.
    fuel
        Standard score of the year's fuel prices: 2 is a crisis like 2022, above all in Europe. The
        default leans to dear years: the paper's equity weights belong to one.
    warmth
        °C by which the year is warmer than the region's normal, per region.
    hydro
        Inflow of rivers relative to a typical year, per region: 0.65 is a drought.
    wind
        Wind relative to a typical year, per region.
    nuclear
        Availability of nuclear plants relative to a typical year, per region.
    volatility
        Multiplies the noise of prices and demand and the rate of price spikes.
    correlation
        km over which weather, and what follows from it, loses correlation (1/e).
    utilisation
        Mean demand as a share of capacity.
    growth
        Growth of demand per week.
    flash_crowds
        Flash crowds per gateway and week.
    outages
        Outages per data center and week; where they would leave demand unservable, they wait.
    """

    year: Annotated[Range, 1990, 2100] = (2018, 2025)
    day: Annotated[Range, 1, 365] = (1, 365)
    fuel: Annotated[Range, -3, 3] = (0.0, 2.2)
    warmth: Annotated[Range, -10, 10] = (-1.0, 2.0)
    hydro: Annotated[Range, 0.3, 2] = (0.65, 1.2)
    wind: Annotated[Range, 0, 2] = (0.85, 1.15)
    nuclear: Annotated[Range, 0, 1.5] = (0.8, 1.05)
    volatility: Annotated[Range, 0, 4] = (0.5, 1.2)
    correlation: Annotated[Range, 1, 20000] = (500.0, 1500.0)
    utilisation: Annotated[Range, 0.05, 0.9] = (0.55, 0.68)
    growth: Annotated[Range, -0.5, 0.5] = (0.0, 0.03)
    flash_crowds: Annotated[Range, 0, 50] = (0.0, 1.0)
    outages: Annotated[Range, 0, 10] = (0.0, 0.3)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            low, high = self.ends(field.name)
            least, most = _limits()[field.name]
            if not (least <= low <= high <= most):
                raise DataError(
                    f"the range {field.name} must lie within {least:g} to {most:g}, "
                    f"low end first, got {getattr(self, field.name)!r}"
                )
            object.__setattr__(self, field.name, (low, high))

    def ends(self, name: str) -> tuple[float, float]:
        """Low and high end of a range."""
        value = getattr(self, name)
        try:
            ends = (value, value) if isinstance(value, int | float) else tuple(value)
            low, high = (float(end) for end in ends)
        except (TypeError, ValueError):
            raise DataError(
                f"the range {name} must be a number or two, low and high, got {value!r}"
            ) from None
        return low, high

    @classmethod
    def of(cls, options: Ranges | Mapping[str, Any] | None) -> Ranges:
        """Read a mapping of some of the fields, from a configuration say."""
        if isinstance(options, Ranges):
            return options
        options = dict(options or {})
        refuse_unknown("range", options, _limits())
        return cls(**options)


@cache
def _limits() -> Mapping[str, tuple[float, float]]:
    """Where each range may lie, as its field is annotated."""
    hints = get_type_hints(Ranges, include_extras=True)
    return {name: hint.__metadata__ for name, hint in hints.items()}
