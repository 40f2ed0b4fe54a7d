"""TorchRL: its checker, its collector and its clipped PPO loss."""

from collections.abc import Callable

import torch
from both import on_both
from tensordict.nn import NormalParamExtractor, TensorDictModule
from torch import nn
from torchrl.collectors import Collector
from torchrl.envs import GymEnv, RewardSum, TransformedEnv
from torchrl.envs.utils import check_env_specs
from torchrl.modules import ProbabilisticActor, TanhNormal, ValueOperator
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value import GAE


def prepare(name: str) -> Callable[[], int]:
    env = TransformedEnv(GymEnv(name, device="cpu"), RewardSum())
    check_env_specs(env)
    seen, actions = env.observation_spec["observation"].shape[-1], env.action_spec.shape[-1]
    net = nn.Sequential(
        nn.Linear(seen, 64), nn.Tanh(), nn.Linear(64, 2 * actions), NormalParamExtractor()
    )
    actor = ProbabilisticActor(
        TensorDictModule(net, in_keys=["observation"], out_keys=["loc", "scale"]),
        spec=env.action_spec,
        in_keys=["loc", "scale"],
        distribution_class=TanhNormal,
        distribution_kwargs={"low": env.action_spec.space.low, "high": env.action_spec.space.high},
        return_log_prob=True,
    )
    critic = ValueOperator(
        nn.Sequential(nn.Linear(seen, 64), nn.Tanh(), nn.Linear(64, 1)), in_keys=["observation"]
    )
    advantage = GAE(gamma=0.99, lmbda=0.95, value_network=critic, average_gae=True)
    loss = ClipPPOLoss(actor_network=actor, critic_network=critic)
    optimizer = torch.optim.Adam(loss.parameters(), lr=3e-4)
    collector = Collector(env, actor, frames_per_batch=256, total_frames=512)

    def train() -> int:
        for batch in collector:
            advantage(batch)
            values = loss(batch.reshape(-1))
            sum(values[key] for key in values.keys() if key.startswith("loss_")).backward()  # noqa: SIM118
            optimizer.step()
            optimizer.zero_grad()
        collector.shutdown()
        return 512

    return train


on_both(prepare)
