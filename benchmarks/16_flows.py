"""How many wells do flows find that are trained by the energy alone? Chapter 16's table, seed by
seed."""

import jax
import jax.numpy as jnp
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
    main()
