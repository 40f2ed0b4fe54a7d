"""The layer on tensors where the past counts: what the kernels decide, with its derivatives.

The numbers of the advice go to the compiled layer, and what it plays is returned, to the bit. The
derivatives are those of the same rule in tensors. The way back is a function of the layer's own
levels; where the condition binds, the share ``α`` of the advice solves ``L(α, x) = constant`` with
``L`` the condition's left side, so that

    dα = −(∂L/∂x)·dx / (∂L/∂α),

and where it is 0 or 1 it stays so. The expert depends on inputs alone. At a kink the derivative is
that of one side, or between the two. Needs torch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from equiload.envs import DataError, Decision, Slot, State
from equiload.envs.dynamics import slot_cost, transition
from equiload.envs.knobs.market import Market
from equiload.envs.knobs.operation import Levels, Operation, draw
from equiload.envs.typing import Array, FloatArray
from equiload.robust.departure import LevelTurn
from equiload.robust.policy import RobustLayer, Weighed

#: What a decision says of routing; the rest is its operation.
_ROUTING = ("load", "routing", "allocation")


class TensorPlayed(NamedTuple):
    """What is played, the share ``alpha [...]`` of the advice, and US$ ``slack [...]`` left."""

    decision: Decision
    alpha: Tensor
    slack: Tensor


class LevelTensors:
    """Plays what a layer with levels does, on tensors.

    Parameters
    ----------
    layer
        Of a setting with knobs, reset.
    kind
        A tensor in the precision and on the device of those to come.

    Raises
    ------
    DataError
        For tensors in another precision than what is certified.
    """

    def __init__(self, layer: RobustLayer, kind: Tensor) -> None:
        if kind.dtype is not torch.float64:
            raise DataError(
                f"with knobs the robust layer certifies torch.float64 alone, got {kind.dtype}"
            )
        safe = layer.level_set
        self._layer, self._device = layer, kind.device
        self._market, self._setting = Market(safe.setting.fleet), safe.setting
        # The last slot buys what batteries lack: that is reserved for, and not in the books.
        self._physics = replace(safe.setting.physics.to(self._tensor), last=-1)
        plant = safe.packing.plant
        # Starts and quality are in the slot's cost.
        first = len(plant.start_cost) + plant.unit.size
        self._unit = self._tensor(safe.kink_prices[first:])
        self._per_unit = self._tensor(safe.kink_footprints[first:])

    def play(self, slot: Slot, decision: Decision, state: State) -> TensorPlayed:
        """What is played in place of ``decision``, from the ``state`` before the slot."""
        levels, advice = state.levels or Levels(), _named(decision)
        exact = Slot.at(slot.map(_numbers), slot.index, slot.timestamp)
        own = levels.map(_numbers)
        weighed = self._layer.weigh(exact, self._sent(advice, exact, own), own)
        values = _named(weighed.decision)
        played = {name: self._tensor(array) for name, array in _as(advice, values).items()}
        books = weighed.played.ledger.books
        alpha, slack = self._tensor(weighed.alpha), self._tensor(books.right - books.left)
        given = (*advice.values(), *levels.named().values(), state.cost, state.footprint)
        if torch.is_grad_enabled() and any(array.requires_grad for array in given):
            back = _as(advice, self._way_back(weighed.turn, slot, levels))
            possible = self._tensor(~weighed.refused) > 0
            advice = {
                name: torch.where(_spread(possible, array), array, back[name])
                for name, array in advice.items()
            }
            change, rise = self._condition(back, advice, alpha, slot, state, weighed)
            binds = (alpha > 0) & (alpha < 1) & (rise > 0)
            alpha = alpha - torch.where(binds, change / torch.where(binds, rise, 1.0), 0.0)
            slack = slack - torch.where(binds, 0.0, change)
            rule = _between(back, advice, alpha)
            played = {n: array + (rule[n] - rule[n].detach()) for n, array in played.items()}
        return TensorPlayed(_decision(played, decision.moved), alpha, slack)

    def _condition(
        self,
        back: dict[str, Tensor],
        advice: dict[str, Tensor],
        alpha: Tensor,
        slot: Slot,
        state: State,
        weighed: Weighed,
    ) -> tuple[Tensor, Tensor]:
        """Of the left side ``[...]``: 0 with its derivatives at this ``α``, and its slope in it."""
        left = self._left(_between(back, advice, alpha), slot, state, weighed)
        # The slope of numbers alone: a walk to α would search the graph of the whole episode.
        here, there = ({n: array.detach() for n, array in end.items()} for end in (back, advice))
        levels = None if state.levels is None else state.levels.map(Tensor.detach)
        before = State(state.cost.detach(), state.footprint.detach(), levels)
        share = alpha.clone().requires_grad_()
        along = self._left(_between(here, there, share), slot, before, weighed)
        (rise,) = torch.autograd.grad(along.sum(), share)
        return left - left.detach(), rise

    def _tensor(self, array: Array) -> Tensor:
        values = np.array(array, dtype=np.float64)  # torch warns of arrays that are read-only
        return torch.as_tensor(values, device=self._device)

    def _sent(self, advice: dict[str, Tensor], slot: Slot, levels: Levels) -> Decision:
        """The numbers of the advice, and of loads alone who may send them."""
        arrays = {name: _numbers(array) for name, array in advice.items() if name != "grid"}
        if "allocation" not in arrays:
            rows, left = [slot.demand], [slot.demand - arrays.get("saved", 0.0)]
            if "work" in arrays:
                rows.append(levels.waiting + slot.work)
                left.append(arrays["work"].sum(-1))
            whole, asked = (np.concatenate(parts, axis=-1) for parts in (rows, left))
            _, allocation, work = self._market.sent(arrays["load"], asked, whole)
            arrays |= {"allocation": allocation} | ({"work": work} if "work" in arrays else {})
        return _decision(arrays)

    def _way_back(self, turn: LevelTurn, slot: Slot, levels: Levels) -> dict[str, Tensor]:
        """What :func:`~equiload.robust.wayback.way_back` does, of the layer's own ``levels``."""
        fleet = self._physics.fleet
        done = {name: self._tensor(array) for name, array in _named(turn.expert).items()}
        load = done["allocation"].sum(-2)
        if fleet.training is not None:
            done |= self._work(done, turn, slot, levels)
            load = load + done["work"].sum(-2)
        on = done.get("on")
        if on is not None and turn.safe.spare is not None:  # more than the expert's may hold
            held = _least(load, slot.capacity)
            on = done["on"] = torch.where(held > on, held, on)
        needed = draw(load, on, fleet)
        if fleet.storage is not None:
            into, out = fleet.storage.charge_efficiency, fleet.storage.discharge_efficiency
            room = (fleet.storage.energy - levels.stored + done["discharge"] / out) / into
            taken = _least(done["charge"], torch.relu(room))
            given = _least(done["discharge"], (levels.stored + taken * into) * out)
            given = _least(given, needed + taken)
            done |= {"charge": taken, "discharge": given}
            needed = needed + taken - given
        if slot.generation is not None:
            used = done["generation"] = _least(done["generation"], torch.relu(needed))
            needed = needed - used
        return done | {"load": load, "grid": needed}

    def _work(
        self, expert: dict[str, Tensor], turn: LevelTurn, slot: Slot, levels: Levels
    ) -> dict[str, Tensor]:
        """Work done and given up on the way back."""
        due, work, late = levels.waiting + slot.work, expert["work"], expert["late"]
        asked, spare = work.sum(-1), turn.safe.spare
        # What is done already is given up less, and then done less.
        least = torch.relu(late - torch.relu(asked + late - due))
        short = asked > due
        share = torch.where(short, due / torch.where(short, asked, 1.0), 1.0)
        work = work * share[..., None]
        if spare is not None:
            work = work + spare.work(turn.expert, turn.slot, levels, turn.expert_levels)
        left = due - work.sum(-1) - least
        return {"work": work, "late": least + torch.relu(left - slot.ceiling)}

    def _left(
        self, played: dict[str, Tensor], slot: Slot, state: State, weighed: Weighed
    ) -> Tensor:
        """``L [...]``, US$, and something that nothing decided here changes."""
        cost = slot_cost(slot, _decision(played), self._physics, state.levels)
        after, mu = transition(state, cost), self._physics.mu
        reserved = torch.relu(self._gaps(after.levels, weighed))
        followed = self._tensor(weighed.expert.footprint + weighed.played.ledger.books.head)
        height = after.footprint - followed
        height = height + torch.einsum("...m,mkr->...kr", reserved, self._per_unit)
        total: Tensor = after.cost + reserved @ self._unit + (mu * height.max(-1).values).sum(-1)
        return total

    def _gaps(self, levels: Levels | None, weighed: Weighed) -> Tensor:
        """``[..., M]``, MWh: how far levels are from the expert's, in the order of the prices."""
        own, theirs = levels or Levels(), weighed.expert.levels or Levels()
        none = self._physics.pue * 0.0
        stored, on = (
            none if here is None else here - self._tensor(there)
            for here, there in ((own.stored, theirs.stored), (own.on, theirs.on))
        )
        gaps = [-stored, stored, -on]
        if own.waiting is not None:
            room, waits = weighed.played.ledger.room, own.waiting - self._tensor(theirs.waiting)
            least, most = (0.0, 0.0) if room is None else map(self._tensor, (room.least, room.most))
            gaps.append(torch.stack([-waits, waits, waits - least, waits - most], -1).flatten(-2))
        lead = self._setting.batch
        return torch.cat([gap.expand(*lead, gap.shape[-1]) for gap in gaps], -1)


def _numbers(array: Array) -> FloatArray:
    """Of a tensor, without its derivatives."""
    numbers: FloatArray = array.detach().cpu().numpy()
    return numbers


def _named(decision: Decision) -> dict[str, Array]:
    """The arrays of a decision that there are, by name."""
    sent = {name: getattr(decision, name) for name in _ROUTING}
    beside = {} if decision.operation is None else decision.operation.named()
    return {name: array for name, array in sent.items() if array is not None} | beside


def _decision(arrays: dict[str, Array], moved: Array = None) -> Decision:
    """The decision of :func:`_named` arrays."""
    beside = {name: array for name, array in arrays.items() if name not in _ROUTING}
    load, routing, allocation = map(arrays.get, _ROUTING)
    return Decision(load, routing, allocation, moved, Operation(**beside))


def _as(advice: dict[str, Tensor], arrays: dict[str, Array]) -> dict[str, Array]:
    """Of ``arrays``, what the advice says: where that is loads alone, all work of a class."""
    said = {name: arrays[name] for name in advice}
    if "allocation" not in advice and "work" in said:
        said["work"] = said["work"].sum(-1)[..., None]
    return said


def _between(
    back: dict[str, Tensor], advice: dict[str, Tensor], share: Tensor
) -> dict[str, Tensor]:
    """From the way back the ``share [...]`` of the way to the advice."""
    return {n: here + _spread(share, here) * (advice[n] - here) for n, here in back.items()}


def _spread(values: Tensor, array: Tensor) -> Tensor:
    """``values [...]`` with as many axes as ``array [..., more]``."""
    return values.reshape(values.shape + (1,) * (array.ndim - values.ndim))


def _least(array: Tensor, most: Tensor) -> Tensor:
    """The smaller one; where they are alike ``array``, derivatives included."""
    return torch.where(most < array, most, array)
