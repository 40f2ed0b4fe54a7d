"""What a check looks at, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np

from equiload.envs.data.regions import Region, great_circle, world
from equiload.envs.typing import FloatArray, TimeArray

_NEAR_KM = 700.0


class Verdict(Enum):
    """How a check ended. ``UNSURE``: the series cannot tell."""

    OK = "ok"
    UNSURE = "unsure"
    SUSPICIOUS = "suspicious"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's verdict on one series: what was found, what it means, and what to do."""

    region: str
    series: str
    check: str
    verdict: Verdict
    found: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f" {self.advice}" if self.advice else ""
        return (
            f"{self.verdict.value}: {self.series} of {self.region}, {self.check}: "
            f"{self.found}.{advice}"
        )


@dataclass(frozen=True, eq=False)
class Series:
    """One series of one place.

    Parameters
    ----------
    region
        Its name, in messages.
    kind
        ``price``, ``carbon``, ``water``, ``demand``, ``temperature`` or ``site_water``.
    values
        ``[T]`` in the project's unit.
    stamps
        ``[T]``, UTC, regular.
    location
        Latitude and longitude in degrees, or none.
    """

    region: str
    kind: str
    values: FloatArray
    stamps: TimeArray
    location: tuple[float, float] | None = None

    @property
    def per_day(self) -> int:
        """Slots per day; 0 where a day is not a whole number of slots, or there is but one."""
        if len(self.stamps) < 2:
            return 0
        step = int((self.stamps[1] - self.stamps[0]) / np.timedelta64(1, "s"))
        return 86_400 // step if 86_400 % step == 0 else 0

    @cached_property
    def known(self) -> Region | None:
        """The region of the generator's table that this place lies in or near."""
        if self.location is None:
            return None
        regions = list(world().values())
        places = np.array([[r.latitude, r.longitude] for r in regions])
        distance = great_circle(np.array([self.location]), places)[0]
        nearest = int(distance.argmin())
        return regions[nearest] if distance[nearest] <= _NEAR_KM else None
