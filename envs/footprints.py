"""The kinds of footprint that the project knows: one row of :data:`FOOTPRINTS` each.

Everything that must know more of a kind than its name asks this table: the generator and the mix of
a table (``factors``), units of files (``unit``), the door (``bounds``) and the checks (the rest).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from equiload.envs.errors import DataError

#: Fuels of a generation mix, in the order of the columns of ``regions.csv``.
FUELS = ("nuclear", "hydro", "wind", "solar", "biomass", "coal", "gas", "oil")


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What is known of one kind of footprint.

    Parameters
    ----------
    unit
        Unit that it is counted in; intensities are per MWh drawn, equity weights US$ per unit.
    title
        How tables write it. Default: its name.
    equity_weight
        Of instances that state none, US$ per unit; 0: the kind is not weighed unless asked for.
    factors
        Per MWh generated, by fuel, of every fuel. Empty: it does not follow from a generation mix,
        so the generator cannot draw it.
    cooling
        Do cooling towers on the site add to it (in m³ of water)?
    evaporates
        Does the factor of hydro grow with the dryness of the air over the reservoirs?
    bounds
        Smallest and largest intensity that is not refused.
    plausible
        Where the median intensity lies anywhere on earth.
    near, apart
        By which factor, and by how much besides, a mean may differ from what is usual in a region.
    outlier
        How many robust standard deviations from the median a value is out of the ordinary.
    """

    unit: str
    title: str = ""
    equity_weight: float = 0.0
    factors: Mapping[str, float] = field(default_factory=dict)
    cooling: bool = False
    evaporates: bool = False
    bounds: tuple[float, float] = (0.0, 1e9)
    plausible: tuple[float, float] = (0.0, float("inf"))
    near: float = 5.0
    apart: float = 0.0
    outlier: float = 25.0

    def __post_init__(self) -> None:
        if self.factors and set(self.factors) != set(FUELS):
            raise DataError(
                f"a footprint needs a factor for each of {', '.join(FUELS)}, or none at all; got "
                f"factors for {', '.join(self.factors)}"
            )


def _by_fuel(*factors: float) -> Mapping[str, float]:
    return MappingProxyType(dict(zip(FUELS, factors, strict=True)))


_ROWS = {
    # CO2e, life cycle, medians: IPCC AR5 WG3 Annex III (2014), table A.III.2; oil: UNECE.
    "carbon": Footprint(
        unit="t",
        equity_weight=1500.0,  # the paper's, as water's
        factors=_by_fuel(0.012, 0.024, 0.011, 0.045, 0.230, 0.820, 0.490, 0.700),
        bounds=(0.0, 2.0),
        plausible=(0.008, 1.3),
        near=2.2,
        apart=0.15,
    ),
    # Consumed, medians: Macknick et al. (2012), with towers; 3.79 L to the gallon. Hydro is
    # what reservoirs of the United States evaporate.
    "water": Footprint(
        unit="m³",
        equity_weight=60.0,
        factors=_by_fuel(2.54, 17.0, 0.0, 0.10, 2.09, 2.60, 0.75, 1.80),
        cooling=True,
        evaporates=True,
        bounds=(0.0, 100.0),
        plausible=(0.1, 40.0),
        near=3.0,
        apart=2.0,
    ),
    # Life cycle, geometric middles of the ranges in a review of published studies: Turconi, Boldrin
    # and Astrup (2013), Renewable and Sustainable Energy Reviews 28; from general knowledge of it,
    # unaudited. The weight is of the order of damage costs (EEA, CE Delft, US EPA).
    "nox": Footprint(
        unit="kg",
        title="NOx",
        equity_weight=10.0,
        factors=_by_fuel(0.02, 0.015, 0.047, 0.24, 0.37, 1.08, 0.87, 0.87),
        bounds=(0.0, 20.0),
        plausible=(0.01, 4.0),
        near=4.0,
        apart=0.6,
    ),
}

#: By name, in the order in which instances hold them.
FOOTPRINTS: Mapping[str, Footprint] = MappingProxyType(_ROWS)


def unit_of(kind: str) -> str:
    """The unit of a footprint kind; ``"units"`` for one that the table does not hold."""
    return FOOTPRINTS[kind].unit if kind in FOOTPRINTS else "units"


def title_of(kind: str) -> str:
    """How tables write a footprint kind, with a capital letter."""
    title = FOOTPRINTS[kind].title if kind in FOOTPRINTS else ""
    return title or kind.capitalize()


def in_order(kinds: Mapping[str, float] | tuple[str, ...]) -> tuple[str, ...]:
    """The kinds in the table's order, others after them as they come."""
    known = tuple(kind for kind in FOOTPRINTS if kind in kinds)
    return known + tuple(kind for kind in kinds if kind not in FOOTPRINTS)
