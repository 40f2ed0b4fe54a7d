"""Clocks of the generator: UTC slots, local weeks, and where the sun stands.

Local time exists only here, as tables over UTC slots that the shapes of a day are read from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np

from equiload.envs.data.regions import Region
from equiload.envs.typing import FloatArray, IntArray, TimeArray

_DAYS = 366  # a leap year


@dataclass(frozen=True, eq=False)
class Clock:
    """Where each UTC slot of some years falls in the local week and in the year.

    Parameters
    ----------
    start
        UTC, start of the first slot.
    minutes
        Length of a slot.
    week_slot
        ``[H, R]``: slot of the local week, 0 on Monday at 00:00 local time, daylight saving
        included.
    year_slot
        ``[H]``: slot of the UTC year, 0 on 1 January at 00:00.
    """

    start: np.datetime64
    minutes: int
    week_slot: IntArray
    year_slot: IntArray


@lru_cache(maxsize=16)
def clock(zones: tuple[str, ...], years: tuple[int, int], minutes: int) -> Clock:
    """Tables for the first to the last of ``years``, both included."""
    stamps = _stamps(years, minutes)
    year_start = stamps.astype("datetime64[Y]").astype("datetime64[m]")
    local = [week_minute(stamps, _offsets(zone, years, minutes)) for zone in zones]
    return Clock(
        start=stamps[0].astype("datetime64[s]"),
        minutes=minutes,
        week_slot=np.stack(local, axis=-1) // minutes,
        year_slot=((stamps - year_start).astype(np.int64) // minutes),
    )


def _stamps(years: tuple[int, int], minutes: int) -> TimeArray:
    first, last = (np.datetime64(f"{year}-01-01", "m") for year in (years[0], years[1] + 1))
    return np.arange(first, last, np.timedelta64(minutes, "m"))


@lru_cache(maxsize=256)
def _offsets(zone: str, years: tuple[int, int], minutes: int) -> IntArray:
    return utc_offset(zone, _stamps(years, minutes))


def utc_offset(zone: str, stamps: TimeArray) -> IntArray:
    """``[H]``: minutes by which local time is ahead of UTC at ascending UTC ``stamps``.

    Asks for the offset once a day, and every hour only on days in which it changes.
    """
    info = ZoneInfo(zone)

    def offset(moment: datetime) -> int:
        return int(moment.astimezone(info).utcoffset().total_seconds() // 60)  # type: ignore[union-attr]

    midnight = stamps[0].astype("datetime64[D]")
    begin = midnight.astype("datetime64[s]").item().replace(tzinfo=UTC)
    since = (stamps - midnight).astype("timedelta64[h]").astype(np.int64)
    daily = [offset(begin + timedelta(days=d)) for d in range((since[-1] + 1) // 24 + 2)]
    hourly = np.repeat(daily, 24)
    for d in np.flatnonzero(np.diff(daily)):
        span = range(24 * int(d), 24 * (int(d) + 1))
        hourly[24 * d : 24 * (d + 1)] = [offset(begin + timedelta(hours=h)) for h in span]
    return np.asarray(hourly[since])


def week_minute(stamps: TimeArray, offset: IntArray) -> IntArray:
    """``[T]``: minute of the local week, 0 on Monday at 00:00 local time, at UTC ``stamps [T]``.

    ``offset [T]``: minutes by which local time is ahead of UTC.
    """
    # 1970-01-01, where numpy counts from, was a Thursday: day 3 of a week that starts on Monday.
    utc_minute = stamps.astype("datetime64[m]").astype(np.int64) + 3 * 24 * 60
    return np.asarray((utc_minute + offset) % (7 * 24 * 60))


def week_shape(weekday: tuple[float, ...], weekend: float, minutes: int) -> FloatArray:
    """``[W]``: values over the slots of a local week, relative to their mean.

    ``weekday [24]`` at each local hour from Monday to Friday, times ``weekend`` on the other days.
    """
    hour = (np.arange(24 * 60 // minutes) + 0.5) * minutes / 60
    day = np.interp(hour, np.arange(24) + 0.5, weekday, period=24)
    week = np.concatenate([day] * 5 + [weekend * day] * 2)
    return np.asarray(week / week.mean())


@dataclass(frozen=True, eq=False)
class Sky:
    """What the calendar alone says about the weather, over the slots of a year.

    Parameters
    ----------
    sun
        ``[S, R]``: clear-sky irradiance on level ground, relative to 1000 W/m².
    season
        ``[S, R]``: −1 in the coldest week, 1 in the warmest.
    day
        ``[S, R]``: 1 at 15:00 solar time, when days are warmest, −1 twelve hours away.
    """

    sun: FloatArray
    season: FloatArray
    day: FloatArray


@lru_cache(maxsize=16)
def sky(regions: tuple[Region, ...], minutes: int) -> Sky:
    """Tables for the middles of the slots of a leap year."""
    columns = [_sky_over(region.latitude, region.longitude, minutes) for region in regions]
    return Sky(*(np.stack(table, axis=-1) for table in zip(*columns, strict=True)))


def sun_over(location: FloatArray, timestamps: TimeArray, minutes: int) -> FloatArray:
    """``[T, N]``: the clear sky's irradiance on level ground, relative to 1000 W/m².

    Over places ``location [N, 2]``, latitude and longitude in degrees, in the middles of the slots
    that begin at ``timestamps [T]``, UTC.
    """
    since = timestamps - timestamps.astype("datetime64[Y]").astype("datetime64[s]")
    slot = since.astype("timedelta64[m]").astype(np.int64) // minutes
    places = [tuple(float(degrees) for degrees in place) for place in location]
    return np.stack([_sky_over(*place, minutes)[0][slot] for place in places], axis=-1)


@lru_cache(maxsize=256)
def _sky_over(
    latitude: float, longitude: float, minutes: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Sun, season and day over one place, ``[S]`` each."""
    # Here, since pvlib and pandas take seconds to import.
    import pandas as pd
    import pvlib

    middle = np.arange(_DAYS * 24 * 60 // minutes) * minutes + minutes / 2
    seconds = (middle * 60).astype("timedelta64[s]")
    times = pd.DatetimeIndex(np.datetime64("2024-01-01", "s") + seconds, tz="UTC")
    day_of_year = times.day_of_year.to_numpy()
    angle = np.radians(
        pvlib.solarposition.hour_angle(
            times, longitude, pvlib.solarposition.equation_of_time_spencer71(day_of_year)
        )
    )
    zenith = pvlib.solarposition.solar_zenith_analytical(
        np.radians(latitude), angle, pvlib.solarposition.declination_spencer71(day_of_year)
    )
    sun = pvlib.clearsky.haurwitz(pd.Series(np.degrees(zenith)))["ghi"].to_numpy() / 1000
    # Air lags the sun by some four weeks: warmest around 20 July, or 20 January.
    warm = np.cos(2 * np.pi * (middle / (24 * 60) - 200) / 365.25)
    return sun, (warm if latitude >= 0 else -warm), np.cos(angle - 2 * np.pi * 3 / 24)
