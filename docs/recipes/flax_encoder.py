"""A network in flax that knows that regions are exchangeable: actions of the residual environment.

python docs/recipes/flax_encoder.py (needs jax and flax)
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from equiload.agents.learn import Layout
from equiload.envs.gym import GLBVectorEnv

envs = GLBVectorEnv(8, horizon=24, action="residual", hold=6, reward="relative_percent")
layout = Layout.of_env(envs)
share, reach = jnp.asarray(layout.share), jnp.asarray(layout.reach)  # [N, R], [J, R]


class RegionActor(nn.Module):
    """Observations ``[B, F]`` to actions ``[B, K · R]``: each region's row, and the mean of all."""

    hidden: int = 48

    @nn.compact
    def __call__(self, observation: jax.Array) -> jax.Array:
        """See the class."""
        block = {name: observation[..., cut] for name, cut in layout.blocks.items()}
        to_regions = {"datacenter": lambda x: x @ share, "gateway": lambda x: x @ reach}
        own = [
            to_regions.get(axis, lambda x: x)(block[name])
            for name, axis in layout.axes.items()
            if axis != "common"
        ]
        common = [block[name] for name, axis in layout.axes.items() if axis == "common"]
        rows = jnp.stack(own, -1)
        everyone = jnp.concatenate(common, -1)[..., None, :]
        everyone = jnp.broadcast_to(everyone, (*rows.shape[:-1], everyone.shape[-1]))
        code = nn.silu(nn.Dense(self.hidden)(jnp.concatenate([rows, everyone], -1)))
        mean = nn.Dense(self.hidden)(code.mean(-2, keepdims=True))
        code = code + nn.silu(nn.Dense(self.hidden)(code) + mean)
        head = nn.Dense(len(layout.kinds), kernel_init=nn.initializers.zeros)  # begins as eGLB
        return jnp.swapaxes(head(code), -1, -2).reshape(*observation.shape[:-1], -1)


observation, _ = envs.reset(seed=0)
actor = RegionActor()
parameters = actor.init(jax.random.key(0), observation)
done = False
while not done:
    action = actor.apply(parameters, observation)
    observation, reward, ended, _, info = envs.step(action)
    done = ended.all()
assert abs(reward).max() < 1e-12  # untrained, it is eGLB
print(
    f"{sum(leaf.size for leaf in jax.tree.leaves(parameters))} parameters, J = {info['objective']}"
)
