"""Batteries on the site of a data center."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from equiload.envs.errors import DataError
from equiload.envs.typing import FloatArray
from equiload.envs.validation import each, regular_array, set_fields


@dataclass(frozen=True, init=False, eq=False)
class Storage:
    """What is stored follows ``b_t = b_{t−1} + η_c·c − d/η_d``, ``0 <= b <= energy``.

    Parameters
    ----------
    energy
        ``[N]``, MWh that each data center can store; 0 where it has no battery.
    charge, discharge
        ``[N]``, MWh per slot that can be taken from the site, and given to it, at most.
    charge_efficiency, discharge_efficiency
        ``η_c``, ``η_d``: one for all or ``[N]``, above 0 and at most 1. By default those of a
        round trip of 0.845 (lithium iron phosphate: PNNL's and PyPSA's technology tables).
    wear
        ``κ``, US$ per MWh discharged: one for all or ``[N]``.
    initial
        ``[N]``, MWh before the first slot. Default: half of ``energy``.
    refill_price
        ``U``, US$/MWh: what is missing of the initial charge after the last slot is bought at this
        price (over ``η_c``). By default so dear that nobody plans on it.

    Raises
    ------
    DataError
        A shape or number that does not fit.

    Examples
    --------
    >>> Storage(energy=[4.0, 0.0], charge=[1.0, 0.0], discharge=[1.0, 0.0]).initial
    array([2., 0.])
    """

    energy: FloatArray
    charge: FloatArray
    discharge: FloatArray
    charge_efficiency: FloatArray
    discharge_efficiency: FloatArray
    wear: FloatArray
    initial: FloatArray
    refill_price: FloatArray

    def __init__(
        self,
        *,
        energy: ArrayLike,
        charge: ArrayLike,
        discharge: ArrayLike,
        charge_efficiency: ArrayLike = 0.919,
        discharge_efficiency: ArrayLike = 0.919,
        wear: ArrayLike = 20.0,
        initial: ArrayLike | None = None,
        refill_price: ArrayLike = 1000.0,
    ) -> None:
        N = regular_array("storage.energy", energy).size
        energy = each("storage.energy", energy, N, minimum=0.0)
        initial = energy / 2 if initial is None else initial
        efficiency = {"minimum": 1e-3, "maximum": 1.0}
        set_fields(
            self,
            energy=energy,
            charge=each("storage.charge", charge, N, minimum=0.0),
            discharge=each("storage.discharge", discharge, N, minimum=0.0),
            charge_efficiency=each("storage.charge_efficiency", charge_efficiency, N, **efficiency),
            discharge_efficiency=each(
                "storage.discharge_efficiency", discharge_efficiency, N, **efficiency
            ),
            wear=each("storage.wear", wear, N, minimum=0.0),
            initial=each("storage.initial", initial, N, minimum=0.0),
            refill_price=each("storage.refill_price", refill_price, N, minimum=0.0),
        )
        if (self.initial > energy).any():
            i = int(np.argmax(self.initial > energy))
            raise DataError(
                f"storage.initial[{i}] is {self.initial[i]:g} MWh, more than the "
                f"{energy[i]:g} MWh that can be stored"
            )
