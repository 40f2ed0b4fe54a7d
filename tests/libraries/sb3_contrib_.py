"""sb3-contrib: a recurrent learner and one of quantiles."""

from collections.abc import Callable

from both import on_both
from sb3_contrib import TQC, RecurrentPPO


def prepare(name: str) -> Callable[[], int]:
    models = [
        RecurrentPPO("MlpLstmPolicy", name, device="cpu", n_steps=128, n_epochs=2),
        TQC("MlpPolicy", name, device="cpu"),
    ]

    def train() -> int:
        return sum(model.learn(256).num_timesteps for model in models)

    return train


on_both(prepare)
