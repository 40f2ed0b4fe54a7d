"""Where a later window begins: an earlier one's iterate, moved in time.

It is kept while products of values and prices are still large: from near an optimum, what a window
that moved has to change would at once run into bounds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from equiload.agents.offline.interior.form import Form
from equiload.agents.offline.interior.layout import STORED
from equiload.agents.offline.interior.start import centred, enveloped
from equiload.agents.offline.interior.steps import Point
from equiload.envs.typing import FloatArray


@dataclass(frozen=True, eq=False)
class Iterate:
    """What the iterations of a form came by.

    Parameters
    ----------
    form
        The earlier window.
    values, prices
        ``[variables]``, and ``[rows]`` of that form.
    product
        Mean of the products of values and prices of bounds.
    """

    form: Form
    values: FloatArray
    prices: FloatArray
    product: float

    def leads_to(self, form: Form, slots: int) -> bool:
        """Is there anything of a window that is ``slots`` later?"""
        old, new = self.form, form
        same = replace(old.sizes, slots=new.sizes.slots) == new.sizes
        return slots < old.sizes.slots and same and bool((old.kinds == new.kinds).all())

    def moved(self, form: Form, slots: int) -> tuple[Point, FloatArray]:
        """The first point of a window that is ``slots`` later, and the prices ``[rows]``.

        Slots that are new to it begin as the last one that is not.
        """
        old, sizes = self.form, form.sizes
        at = np.minimum(np.arange(sizes.slots) + slots, old.sizes.slots - 1)
        load = old.load * old.problem.load / (form.load * form.problem.load)
        money = old.money * old.problem.money / (form.money * form.problem.money)
        values, prices = np.empty(sizes.variables), np.empty(sizes.rows)
        v, before = sizes.vector(values), old.sizes.vector(self.values)
        for now, then in zip(v[1:5], before[1:5], strict=True):
            now[:] = load * then[at]
        # After the last slot the initial charge, less what is missing of it, is not counted.
        v.missing[:] = load * before.missing
        kept = load * (old.sizes.vector(old.widest).missing - before.missing)
        v.site[at == old.sizes.slots - 1, STORED] += kept
        v.site[-1, STORED] += v.missing - sizes.vector(form.widest).missing
        y, earlier = sizes.by_row(prices), old.sizes.by_row(self.prices)
        for now, then in zip(y[1:4], earlier[1:4], strict=True):
            now[:] = money * then[at]
        y.footprint[:] = earlier.footprint
        enveloped(form, v)
        return centred(form, values, prices, load * money * self.product), prices
