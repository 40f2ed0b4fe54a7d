"""PPO in one file of plain torch, in the shape of CleanRL's, that beats eGLB on unseen draws.

python docs/recipes/single_file_ppo.py [SECONDS] [full|partial]
"""

import sys
import time

import gymnasium
import numpy as np
import torch
from torch import nn

import equiload.envs  # noqa: F401 - registers the environments

HORIZON, ENVIRONMENTS, EPOCHS, MINIBATCH = 168, 256, 4, 1792
DISCOUNT, LAMBDA, CLIP, RATE = 0.98, 0.95, 0.2, 1e-3
SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 180.0
REACHABILITY = sys.argv[2] if len(sys.argv) > 2 else "full"
NAME = "equiload/ResidualGLB-v0"
OPTIONS = {"horizon": HORIZON, "reachability": REACHABILITY}

torch.manual_seed(0)
torch.set_num_threads(1)
envs = gymnasium.make_vec(
    NAME,
    num_envs=ENVIRONMENTS,
    vectorization_mode="vector_entry_point",  # natively batched
    autoreset_mode="Disabled",  # episodes end together: one is a rollout
    **OPTIONS,
)
seen = envs.single_observation_space.shape[0]
actions = envs.single_action_space.shape[0]


def layer(inputs: int, outputs: int, gain: float = 2**0.5) -> nn.Linear:
    """A linear layer with orthogonal weights."""
    linear = nn.Linear(inputs, outputs)
    nn.init.orthogonal_(linear.weight, gain)
    nn.init.zeros_(linear.bias)
    return linear


def perceptron(outputs: int, gain: float) -> nn.Sequential:
    """Two hidden layers of 64."""
    return nn.Sequential(
        layer(seen, 64), nn.Tanh(), layer(64, 64), nn.Tanh(), layer(64, outputs, gain)
    )


actor, critic = perceptron(actions, 0.01), perceptron(1, 1.0)  # begins near action 0: eGLB
log_std = nn.Parameter(torch.zeros(actions))
parameters = [*actor.parameters(), *critic.parameters(), log_std]
optimizer = torch.optim.Adam(parameters, lr=RATE, eps=1e-5)


def policy(observation: torch.Tensor) -> torch.distributions.Normal:
    """Independent normal actions."""
    return torch.distributions.Normal(actor(observation), log_std.exp())


end = time.process_time() + SECONDS
observation, _ = envs.reset(seed=0)
while time.process_time() < end:
    rollout = []
    done = False
    while not done:
        now = torch.as_tensor(observation)
        with torch.no_grad():
            drawn = policy(now)
            action = drawn.sample()
            likelihood = drawn.log_prob(action).sum(-1)
        observation, reward, ended, _, _ = envs.step(action.numpy())
        rollout.append((now, action, likelihood, torch.as_tensor(reward, dtype=torch.float32)))
        done = bool(ended.all())
    observation, _ = envs.reset()

    states, played, likelihoods, rewards = (
        torch.stack(part) for part in zip(*rollout, strict=True)
    )
    with torch.no_grad():
        values = critic(states)[..., 0]
    advantages = torch.zeros_like(rewards)
    following, ahead = torch.zeros(ENVIRONMENTS), torch.zeros(ENVIRONMENTS)  # nothing comes after
    for t in reversed(range(len(rewards))):
        error = rewards[t] + DISCOUNT * following - values[t]
        ahead = advantages[t] = error + DISCOUNT * LAMBDA * ahead
        following = values[t]
    flat = [part.flatten(0, 1) for part in (states, played, likelihoods, advantages)]
    returns = (advantages + values).flatten()
    for _ in range(EPOCHS):
        for chosen in torch.randperm(len(returns)).split(MINIBATCH):
            states_, played_, likelihoods_, advantages_ = (part[chosen] for part in flat)
            ratio = (policy(states_).log_prob(played_).sum(-1) - likelihoods_).exp()
            gain = (advantages_ - advantages_.mean()) / (advantages_.std() + 1e-8)
            surrogate = torch.minimum(ratio * gain, ratio.clamp(1 - CLIP, 1 + CLIP) * gain)
            value_loss = (critic(states_)[..., 0] - returns[chosen]).square().mean()
            loss = 0.5 * value_loss - surrogate.mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 0.5)
            optimizer.step()

change = []
for n in range(32):  # held out: no training draw shares a random number with them
    env = gymnasium.make(NAME, instance=f"synthetic:test/{n}", **OPTIONS)
    observation, _ = env.reset(seed=0, options={"start": 0})
    done, score = False, 0.0
    while not done:
        with torch.no_grad():
            best = actor(torch.as_tensor(observation))
        observation, reward, done, _, _ = env.step(best.numpy())
        score += reward  # 100 (1 − J / J of eGLB), when all is played
    change.append(-score / 100)
better = np.mean(np.array(change) < 0)
print(f"{np.mean(change):+.2%} of eGLB's J, better on {better:.0%} of draws")
