"""Forecasts of the exogenous series: the truth, simple rules, a learned one, and wrong ones."""

from equiload.agents.forecast.errors import forecast_errors, mape, pinball
from equiload.agents.forecast.learned import Learned
from equiload.agents.forecast.simple import (
    Climatology,
    PastDays,
    Perfect,
    Persistence,
    SameHour,
)
from equiload.agents.forecast.wrong import Adversarial, Biased, Delayed, Noisy, Swapped
from equiload.envs.forecast import Forecaster, History, Recorder, servable
from equiload.envs.series import Series

__all__ = [
    "Adversarial",
    "Biased",
    "Climatology",
    "Delayed",
    "Forecaster",
    "History",
    "Learned",
    "Noisy",
    "PastDays",
    "Perfect",
    "Persistence",
    "Recorder",
    "SameHour",
    "Series",
    "Swapped",
    "forecast_errors",
    "mape",
    "pinball",
    "servable",
]
