"""What the scripts beside this share: the environments, by their ids alone, and the clock."""

import time
from collections.abc import Callable

NAMES = ("equiload.envs:equiload/GLB-v0", "equiload.envs:equiload/ResidualGLB-v0")


def on_both(prepare: Callable[[str], Callable[[], int]]) -> None:
    """Print the steps per CPU-second of ``prepare(id)()``, which returns how many it made."""
    for name in NAMES:
        train = prepare(name)
        begin = time.process_time()
        steps = train()
        rate = steps / (time.process_time() - begin)
        print(f"{name.partition(':')[2]}: {rate:.0f} steps per CPU-second", flush=True)
