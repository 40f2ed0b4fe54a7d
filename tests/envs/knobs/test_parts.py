"""Parts of a fleet: what they refuse, and what follows from their numbers."""

import pickle
from copy import deepcopy

import numpy as np
import pytest

from equiload.envs import DataError, Fleet, Instance, Trace
from equiload.envs.knobs.models import Models
from equiload.envs.knobs.servers import Servers
from equiload.envs.knobs.storage import Storage
from equiload.envs.knobs.training import Training
from equiload.testing.knobs import with_random_knobs
from equiload.testing.problems import odd_problems

TWO = {"energy": [4.0, 0.0], "charge": [1.0, 0.0], "discharge": [1.0, 0.0]}
ONE = Fleet(datacenters=["a"], gateways=["g"], capacity=[1.0])
LARGE = {"names": ["large", "small"], "worth": [1.0], "share": [0.5]}


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Storage(**TWO | {"charge": [1.0]}), "storage.charge must have shape (2,)"),
        (lambda: Storage(**TWO, initial=[5.0, 0.0]), "storage.initial[0] is 5 MWh, more than the"),
        (lambda: Storage(**TWO, charge_efficiency=1.2), "storage.charge_efficiency[0] is 1.2"),
        (lambda: Storage(**TWO, wear=-1.0), "storage.wear[0] is -1.0"),
        (lambda: Storage(**TWO | {"energy": [np.nan, 1.0]}), "storage.energy[0] is nan"),
        (lambda: Servers(idle=[0.2, 1.5]), "servers.idle[1] is 1.5"),
        (lambda: Servers(idle=[0.2], start_cost="much"), "servers.start_cost must hold numbers"),
        (lambda: Models(**LARGE, energy=[0.9, 0.2], loss=[0.0, 0.1]), "its energy must be 1"),
        (lambda: Models(**LARGE, energy=[1.0, 1.0], loss=[0.0, 0.1]), "must take less energy"),
        (lambda: Models(**LARGE, energy=[1.0], loss=[0.0, 0.1]), "models.energy must have shape"),
        (lambda: Training(classes=["a"], deadline=[1.5]), "1 whole numbers of slots from 0"),
        (lambda: Training(classes=["a"], deadline=[-1]), "1 whole numbers of slots from 0"),
        (lambda: Training(classes=["a", "a"], deadline=[1, 1]), "named more than once"),
        (
            lambda: Storage(**TWO | {"energy": [[4.0], 1.0]}),
            "storage.energy must hold numbers",
        ),
        (
            lambda: Training(classes=["a"], deadline=[1], reachable=[1, 1]),
            "training.reachable must have a row for each of the 1 classes, got shape (2,)",
        ),
        (lambda: ONE.replace(storage=TWO), "storage must be a Storage, got a dict"),
        (lambda: ONE.replace(training=Servers(idle=[0.1])), "training must be a Training, got a S"),
        (
            lambda: Training(classes=["a"], deadline=[1], reachable=[[0, 0]]),
            "the training class 'a' can run in no data center",
        ),
    ],
)
def test_a_part_refuses_what_does_not_fit_in_a_sentence(make, sentence: str) -> None:
    with pytest.raises(DataError) as refusal:
        make()
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_parts_are_for_as_many_as_the_fleet_has() -> None:
    plain = odd_problems()["plain"]
    fleet, trace = plain.fleet, plain.trace
    for part in (
        {"storage": Storage(**TWO)},
        {"servers": Servers(idle=[0.1])},
        {"models": Models(**LARGE, energy=[1.0, 0.2], loss=[0.0, 0.1])},
        {"training": Training(classes=["a"], deadline=[1], reachable=[[1, 1]])},
    ):
        with pytest.raises(DataError, match=f"{next(iter(part))} is for . (data c|g)"):
            fleet.replace(**part)
    training = Training(classes=["a"], deadline=[1])
    with pytest.raises(DataError, match="needs a trace with their work"):
        plain.replace(fleet=fleet.replace(training=training))
    work = np.ones((*trace.price.shape[:-1], 2))
    with pytest.raises(DataError, match="needs a trace with their work"):
        plain.replace(trace=trace.replace(work=work))
    with pytest.raises(DataError, match="work of 2 classes, the fleet 1 training classes"):
        plain.replace(fleet=fleet.replace(training=training), trace=trace.replace(work=work))
    with pytest.raises(DataError, match=r"work must have shape \(\d+, 2\)"):
        trace.replace(work=work[1:])


def test_a_fleet_with_parts_is_copied_pickled_and_compared() -> None:
    rng = np.random.default_rng(0)
    instance = with_random_knobs(rng, odd_problems()["plain"])
    fleet = pickle.loads(pickle.dumps(instance.fleet))
    assert fleet.same_as(instance.fleet)
    assert deepcopy(instance.fleet) is instance.fleet
    other = instance.fleet.replace(servers=Servers(idle=np.full(4, 0.123)))
    assert not fleet.same_as(other)
    assert not fleet.same_as(instance.fleet.replace(storage=None))
    assert instance.fleet.knobs == ("storage", "servers", "models", "training")


def test_a_window_a_member_and_a_stack_take_every_series_along() -> None:
    rng = np.random.default_rng(1)
    batch = with_random_knobs(rng, odd_problems()["batch"])
    assert batch.knobs == batch[0].knobs == batch.window(1, 2).knobs
    together = Trace.stack([batch[0].trace, batch[2].trace])
    for name in ("generation", "onsite_intensity", "work"):
        assert np.array_equal(getattr(together, name)[1], getattr(batch.trace, name)[2])
        cut = getattr(batch.window(1, 2).trace, name)
        assert np.array_equal(cut, getattr(batch.trace, name)[..., 1:3, :])
    with pytest.raises(DataError, match="that all have generation, or none"):
        Trace.stack([batch[0].trace, batch[1].trace.replace(generation=None)])
    back = Instance.of_series(
        batch.fleet, batch.objective, batch.series, batch.trace.timestamps, "again"
    )
    assert np.array_equal(back.trace.work, batch.trace.work)


def test_models_above_the_hull_are_never_used() -> None:
    rng = np.random.default_rng(2)
    for _ in range(200):
        count = int(rng.integers(2, 7))
        models = Models(
            names=[str(m) for m in range(count)],
            energy=np.r_[1.0, np.sort(rng.uniform(0, 0.99, count - 1))[::-1]],
            loss=np.r_[0.0, np.sort(rng.uniform(0, 1, count - 1))],
            worth=[1.0],
            share=[1.0],
        )
        width, unit = models.steps
        assert (np.diff(unit) > 0).all()
        assert np.isclose(width.sum(), 1 - models.energy[-1])
        # The hull lies below every model, and ends at the smallest.
        for energy, loss in zip(models.energy, models.loss, strict=True):
            taken = np.clip(1 - energy - (np.cumsum(width) - width), 0, width)
            assert (taken * unit).sum() <= loss + 1e-12


def test_the_ceiling_is_what_arrived_within_the_deadline() -> None:
    rng = np.random.default_rng(3)
    work = rng.uniform(0, 1, (2, 9, 3))
    training = Training(classes=["now", "some", "long"], deadline=[0, 2, 50])
    ceiling = training.ceiling(work)
    for t in range(9):
        for c, h in enumerate(training.deadline):
            expected = work[:, max(0, t - h + 1) : t + 1, c].sum(1) * (h > 0) * (t < 8)
            np.testing.assert_allclose(ceiling[:, t, c], expected, atol=1e-12)


def test_a_fleet_without_parts_has_no_knobs() -> None:
    fleet = Fleet(datacenters=["a"], gateways=["g"], capacity=[1.0])
    assert fleet.knobs == ()
