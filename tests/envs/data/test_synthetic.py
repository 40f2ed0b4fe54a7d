

def test_draws_side_by_side_are_the_draws_alone() -> None:
    together = synthetic([3, "test/4"], horizon=30, batch=2)
    assert together.batch == (2, 2)
    for n, seed in enumerate((3, "test/4")):
        alone = synthetic(seed, horizon=30, batch=2)
        for name in ("price", "intensity", "demand", "timestamps"):
            assert np.array_equal(getattr(together.trace[n], name), getattr(alone.trace, name))
