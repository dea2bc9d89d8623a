"""Value and gradient by the reader's own engine (chapter 2), by HIPS autograd and by jax, as
multiples of the value's own time."""

from functools import partial

import autograd
import autograd.numpy as anp
import jax
import jax.numpy as jnp
import numpy as np
import table

import course

ch = course.load("02_autodiff")
rng = np.random.default_rng(0)
x1e5, A = rng.normal(size=100_000), rng.normal(size=(200, 200)) / 20
W = [rng.normal(size=(64, 64)) / 8 for _ in range(4)]
batch = rng.normal(size=(128, 64))


def rosenbrock(np_, x):
    return np_.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def network(np_, w):
    h = batch
    for layer in W:
        h = np_.tanh(np_.matmul(h, layer + w))
    return np_.sum(h**2)


def chain(np_, x):
    for _ in range(300):
        x = np_.sin(x) + 0.1 * x
    return np_.sum(x)


def solve(np_, a):
    return np_.sum(np_.linalg.solve(a + 3 * np.eye(200), np.ones(200)) ** 2)


PROGRAMS = {
    "Rosenbrock, n = 100,000": (rosenbrock, x1e5),
    "network 4 x 64, batch 128": (network, W[0] / 10),
    "loop of 300 steps, n = 10": (chain, x1e5[:10]),
    "linear solve, n = 200": (solve, A),
}


def ready(f, x):
    """f(x), waited for."""
    return f(x).block_until_ready()


rows = []
for name, (f, x) in PROGRAMS.items():
    our_grad, peer_grad = ch.grad(partial(f, ch.ops)), autograd.grad(partial(f, anp))
    compiled_f, compiled = jax.jit(partial(f, jnp)), jax.jit(jax.grad(partial(f, jnp)))
    plain = table.seconds(partial(f, np, x))
    ours = table.seconds(partial(our_grad, x))
    peer = table.seconds(partial(peer_grad, x))
    jax_value, jax_grad = (table.seconds(partial(ready, g, x)) for g in (compiled_f, compiled))
    error = np.abs(our_grad(x) - compiled(x)).max()
    rows.append(
        [
            name,
            f"{1e3 * plain:.2f}",
            f"{ours / plain:.1f}",
            f"{peer / plain:.1f}",
            f"{ours / peer:.2f}",
            f"{jax_grad / jax_value:.1f}",
            f"{plain / jax_value:.1f}",
            f"{error:.0e}",
        ]
    )

table.write(
    "02_autodiff",
    "The cost of a gradient, chapter 2's engine beside its peers",
    [
        "program",
        "NumPy value (ms)",
        "ours: grad/value",
        "autograd: grad/value",
        "ours/autograd",
        "jax.jit: grad/value",
        "NumPy/jax.jit value",
        "largest difference from jax",
    ],
    rows,
    ["autograd", "jax", "numpy"],
    "One thread; the best of several batches; each ratio is from one run.",
)
