"""Knobs beside routing: what a fleet may have besides data centers, one file each.

Storage, on-site generation (a series of the trace), training work, servers that go off, and smaller
models. A fleet may have any of them; without them nothing here is run. Names load on first use:
fleets are made of some, and the others of fleets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from equiload.envs.lazy import lazily

if TYPE_CHECKING:
    from equiload.envs.knobs.bound import knob_bound as knob_bound
    from equiload.envs.knobs.market import Market as Market
    from equiload.envs.knobs.models import Models as Models
    from equiload.envs.knobs.operation import Levels as Levels
    from equiload.envs.knobs.operation import Operation as Operation
    from equiload.envs.knobs.prices import Prices as Prices
    from equiload.envs.knobs.servers import Servers as Servers
    from equiload.envs.knobs.storage import Storage as Storage
    from equiload.envs.knobs.training import Training as Training

__all__, __getattr__ = lazily(__name__, __file__)
