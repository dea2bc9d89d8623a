"""How many wells do flows find that are trained by the energy alone? Chapter 16's table, seed by
seed. With the argument `long`: what longer training gives to the affine flow of the wells, and
after how many steps the flow of the digits is best on pictures that were set aside."""

import sys
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import table

import course

ch = course.load("16_flows")
SEEDS, COUNT = 8, 20_000


def train(block, hottest, steps, rate):
    """Flows of SEEDS seeds for the eight wells, in one program."""
    loss = ch.energy_loss(ch.wells_energy, block)
    begin = lambda seed: ch.init_flow(jax.random.key(seed), 2, layers=4, block=block)
    starts = jax.vmap(begin)(jnp.arange(SEEDS))
    keys = jax.random.split(jax.random.key(2), SEEDS)
    plain = ch.train.__wrapped__  # without jit, so that vmap comes first
    one = lambda start, key: plain(loss, start, key, hottest, steps, rate)
    flows, losses = jax.jit(jax.vmap(one))(starts, keys)
    assert jnp.isfinite(losses).all(), "a loss is not a number"
    leaves, tree = jax.tree.flatten(flows)
    return [jax.tree.unflatten(tree, each) for each in zip(*leaves, strict=True)]


def judge(flow, block, honest):
    """The number of wells that got more than a hundredth of the samples, and `sandwich`."""
    said = ch.sandwich(flow, ch.wells_energy, jax.random.key(21), honest, block)
    own, _ = ch.sample(flow, jax.random.key(22), COUNT, 2, block)
    nearest = jnp.argmin(jnp.sum((own[:, None] - ch.wells) ** 2, -1), 1)
    share = jnp.bincount(nearest, length=8) / COUNT
    return int(jnp.sum(share > 0.01)), {name: float(value) for name, value in said.items()}


def affine_wells(steps):
    """KL(p||q), nats, of the chapter's affine flow of the eight wells after so many steps."""
    target, data = ch.targets["wells"], ch.wells_sample(jax.random.key(1), 20_000)
    start, loss = ch.init_flow(jax.random.key(0), 2), ch.likelihood_loss(ch.affine)
    flow, _ = ch.fit(loss, start, jax.random.key(2), data, steps)
    log_p = jax.jit(jax.vmap(target.log_density))
    return ch.divergence(log_p, partial(ch.log_probs, flow), target.box)[0]


def digits(steps):
    """Bits a pixel after so many steps on 1,200 of the 1,500 pictures to learn from: of the last 50
    batches, and of the other 300. The 297 that judge the chapter's flow are not touched."""
    from sklearn.datasets import load_digits

    every = np.random.default_rng(0).permutation(load_digits().data)
    seen, aside = jnp.asarray(every[:1200]), jnp.asarray(every[1200:1500])
    cloud = jnp.concatenate([ch.to_line(jax.random.key(k), seen)[0] for k in range(10)])
    centre, spread = cloud.mean(axis=0), cloud.std(axis=0)

    def bits(params, key, pictures):
        x, slope = ch.to_line(key, pictures)
        log_q = jax.vmap(lambda x: ch.log_prob(params, (x - centre) / spread))(x)
        return ch.bits(log_q - jnp.log(spread).sum(), slope, 64).mean()

    def loss(params, key, done, data):
        key_rows, key_noise = jax.random.split(key)
        return bits(params, key_noise, data[jax.random.randint(key_rows, (128,), 0, len(data))])

    start = ch.init_flow(jax.random.key(0), 64, layers=8, width=64)
    flow, losses = ch.fit(loss, start, jax.random.key(2), seen, steps, 2e-3)
    return losses[-50:].mean(), bits(flow, jax.random.key(40), aside)


def longer():
    rows = []
    for steps in (1200, 4000):
        rows.append(["eight wells, affine", f"{steps:,}", f"{affine_wells(steps):.3f} nats", ""])
        print(rows[-1], flush=True)
    for steps in (300, 600, 1200, 2400):
        seen, aside = digits(steps)
        rows.append(["digits", f"{steps:,}", f"{aside:.3f} bits", f"{seen:.3f} bits"])
        print(rows[-1], flush=True)
    table.write(
        "16_flows_steps",
        "Longer training, chapter 16",
        ["flow", "steps", "judged", "seen in training"],
        rows,
        ["jax", "numpy", "optax"],
        "Eight wells: KL(p||q) by quadrature. Digits: bits a pixel of 300 of the 1,500 pictures to "
        "learn from, set aside, and of the last 50 batches of the other 1,200.",
    )


def main():
    normal = ch.spline()
    at_well = normal._replace(base=ch.normal_at(ch.wells[0], 0.5))
    honest = ch.wells_sample(jax.random.key(20), COUNT)
    plans = [
        ("one well", at_well, 1.0, 800, 2e-3),
        ("one well", at_well, 1.0, 1200, 5e-3),
        ("one well", at_well, 0.03, 1200, 5e-3),
        ("normal", normal, 1.0, 1200, 5e-3),
        ("normal", normal, 0.03, 1200, 5e-3),
        ("normal", normal, 0.03, 2000, 5e-3),
        ("normal", normal, 0.3, 2000, 3e-3),
    ]
    rows = []
    for base, block, hottest, steps, rate in plans:
        judged = [judge(flow, block, honest) for flow in train(block, hottest, steps, rate)]
        said = [verdict for _, verdict in judged]
        off = [abs(v["lnz"] - float(ch.wells_lnz)) / v["error"] for v in said]
        rows.append([base, "1" if hottest == 1 else f"{hottest} to 1", f"{steps}, {rate}"])
        rows[-1].append(" ".join(str(found) for found, _ in judged))
        rows[-1].append(" ".join(f"{v['share_q']:.2f}" for v in said))
        rows[-1].append(" ".join(f"{x:.0f}" for x in off))
        rows[-1].append(" ".join(f"{v['upper'] - float(ch.wells_lnz):.1f}" for v in said))
        rows[-1].append(" ".join(f"{v['share_p']:.0e}" for v in said))
        print(rows[-1], flush=True)
    table.write(
        "16_flows",
        "Wells found by flows that are trained by the energy, chapter 16",
        [
            "base",
            "β",
            "steps, rate",
            "wells",
            "ESS from q",
            "ln Z off by (its error bars)",
            "upper bound above ln Z",
            "ESS from p",
        ],
        rows,
        ["jax", "numpy", "optax"],
        f"Spline flows of four layers, the seeds 0 to {SEEDS - 1} from left to right.",
    )


if __name__ == "__main__":
    longer() if "long" in sys.argv[1:] else main()
