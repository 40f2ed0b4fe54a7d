"""What a check looks at, and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property

import numpy as np

from equiload.envs.data.clock import utc_offset
from equiload.envs.data.regions import Region, great_circle, location, world
from equiload.envs.typing import FloatArray, IntArray, TimeArray

#: Up to here a known region's climate, grid and clock are taken for a place's own: half a country.
_NEAR_KM = 700.0
_CLOCK_FROM_SUN = 105.0  # minutes that a legal clock may differ from the sun's


class Verdict(Enum):
    """How a check ended. ``UNSURE``: the series cannot tell; ``NOTED``: worth knowing."""

    OK = "ok"
    NOTED = "noted"
    UNSURE = "unsure"
    SUSPICIOUS = "suspicious"
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class Finding:
    """One check's verdict on one series: what the data show, what it means, and what to do."""

    region: str
    kind: str
    check: str
    verdict: Verdict
    evidence: str
    advice: str = ""

    def __str__(self) -> str:
        advice = f" {self.advice}" if self.advice else ""
        return (
            f"{self.verdict.value}: {self.kind} of {self.region}, {self.check}: "
            f"{self.evidence}.{advice}"
        )


@dataclass(frozen=True, eq=False)
class Signal:
    """One quantity at one place over time.

    Parameters
    ----------
    region
        Its name, in messages.
    kind
        ``price``, ``demand``, ``solar``, ``temperature``, ``site_water`` or a kind of footprint.
    values
        ``[T]`` in the project's unit.
    stamps
        ``[T]``, UTC, regular.
    location
        Latitude and longitude in degrees, or none.
    declared_constant
        Did the user ask for one value throughout?
    """

    region: str
    kind: str
    values: FloatArray
    stamps: TimeArray
    location: tuple[float, float] | None = None
    declared_constant: bool = False

    def finding(self, check: str, verdict: Verdict, evidence: str, advice: str = "") -> Finding:
        """A check's verdict on this signal."""
        return Finding(self.region, self.kind, check, verdict, evidence, advice)

    @property
    def per_day(self) -> int:
        """Slots per day; 0 where a day is not a whole number of slots, or there is but one."""
        if len(self.stamps) < 2:
            return 0
        step = int((self.stamps[1] - self.stamps[0]) / np.timedelta64(1, "s"))
        return 86_400 // step if 86_400 % step == 0 else 0

    @cached_property
    def steady(self) -> bool:
        """Is it one value throughout, up to rounding? (Such a series correlates with nothing.)"""
        return bool(np.ptp(self.values) <= 1e-9 * np.abs(self.values).max())

    @cached_property
    def nearest(self) -> tuple[Region, float] | None:
        """The nearest region of the generator's table, moved to this place, and km to it.

        Its sun is this place's; its clock, too, where it is near enough to share one.
        """
        if self.location is None:
            return None
        regions = list(world().values())
        distance = great_circle(np.array([self.location]), location(world()))[0]
        nearest = int(distance.argmin())
        latitude, longitude = self.location
        region = replace(regions[nearest], latitude=latitude, longitude=longitude)
        return region, float(distance[nearest])

    @property
    def known(self) -> Region | None:
        """The region of the generator's table that this place lies in or near."""
        if self.nearest is None or self.nearest[1] > _NEAR_KM:
            return None
        return self.nearest[0]

    @property
    def doubt(self) -> str:
        """What to add to a finding that rests on a region too far away to be sure of it."""
        if self.nearest is None or self.nearest[1] <= _NEAR_KM:
            return ""
        region, distance = self.nearest
        return f", judged by {region.name}, {distance:.0f} km away, so with doubt"

    @cached_property
    def offset(self) -> IntArray | None:
        """``[T]``: minutes by which local time is ahead of UTC, or none without a place.

        Far from every known region it is the sun's, in whole hours, unless the nearest region's
        clock suits the place.
        """
        if self.nearest is None:
            return None
        region = self.nearest[0]
        offset = utc_offset(region.zone, self.stamps)
        solar = 60 * region.longitude / 15
        if self.doubt and abs(float(np.median(offset)) - solar) > _CLOCK_FROM_SUN:
            return np.full(len(self.stamps), 60 * round(solar / 60))
        return offset
