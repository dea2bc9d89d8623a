"""The gradient through an ODE solver: chapter 6's backsolve beside diffrax and torchdiffeq.

The network 2-64-64-2 on 128 points, classical RK4, one thread each, 64 bit; value and gradient of
Σ x(1)² with respect to the start and all parameters.
"""

import os
import time
from functools import partial

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
import table  # noqa: I001  (sets the threads before anything is imported)
import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import torch
import torchdiffeq

import course

if hasattr(os, "sched_setaffinity"):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
torch.set_num_threads(1)
torch.set_default_dtype(torch.float64)
ch = course.load("06_neural_ode")
SIZES = (2, 64, 64, 2)


class RK4(diffrax.AbstractERK):
    """The classical method, which diffrax does not have; the last row is the solution."""

    tableau = diffrax.ButcherTableau(
        c=np.array([1 / 2, 1 / 2, 1.0]),
        b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        b_error=np.zeros(4),  # steps are fixed: no estimate is asked for
        a_lower=(np.array([1 / 2]), np.array([0.0, 1 / 2]), np.array([0.0, 0.0, 1.0])),
    )
    interpolation_cls = staticmethod(diffrax.ThirdOrderHermitePolynomialInterpolation.from_k)

    def order(self, terms):
        return 4


def ours(x, params, steps, adjoint="backsolve"):
    """The public function, with one interval."""
    ts = jnp.array([0.0, 1.0])
    options = {"method": "rk4", "steps": steps, "adjoint": adjoint}

    def loss(x, params):
        return jnp.sum(ch.odeint(ch.network, x, ts, params, **options)[-1] ** 2)

    return compiled(loss, x, params)


def compiled(loss, x, params):
    """(whole call, kernel): value and gradient as flat arrays; ready programs."""
    run = jax.jit(jax.value_and_grad(loss, (0, 1)))
    x, params = jnp.asarray(x), jax.tree.map(jnp.asarray, params)
    whole = lambda: jax.block_until_ready(run(x, params))
    return whole, lambda: np.concatenate([np.ravel(a) for a in jax.tree.leaves(whole()[1])])


def with_diffrax(x, params, steps, adjoint):
    """diffeqsolve with the same steps of the same method."""
    field = diffrax.ODETerm(lambda t, x, params: ch.network(x, t, params))

    def loss(x, params):
        solution = diffrax.diffeqsolve(
            field,
            RK4(),
            0.0,
            1.0,
            1.0 / steps,
            x,
            args=params,
            adjoint=adjoint,
            max_steps=steps + 1,
        )
        return jnp.sum(solution.ys[-1] ** 2)

    return compiled(loss, x, params)


class Network(torch.nn.Module):
    """The chapter's network with the same numbers."""

    def __init__(self, params):
        super().__init__()
        tensor = lambda a: torch.nn.Parameter(torch.tensor(np.array(a)))
        self.weights = torch.nn.ParameterList([tensor(W) for W, _ in params])
        self.offsets = torch.nn.ParameterList([tensor(b) for _, b in params])

    def forward(self, t, x):
        for k, (W, b) in enumerate(zip(self.weights, self.offsets, strict=True)):
            x = x @ W + b
            x = torch.tanh(x) if k < len(self.weights) - 1 else x
        return x


def with_torch(x, params, steps, adjoint):
    """torchdiffeq's odeint or odeint_adjoint; its rk4 is the 3/8 rule unless told otherwise."""
    field = Network(params)
    start = torch.tensor(np.array(x), requires_grad=True)
    solver = torchdiffeq.odeint_adjoint if adjoint else torchdiffeq.odeint
    ts, options = torch.tensor([0.0, 1.0]), {"step_size": 1.0 / steps}

    def whole():
        field.zero_grad()
        start.grad = None
        end = solver(field, start, ts, method="rk4", options=options)[-1]
        value = (end**2).sum()
        value.backward()
        return value

    def gradient():
        whole()
        pairs = zip(field.weights, field.offsets, strict=True)
        parts = [start.grad, *[p.grad for pair in pairs for p in pair]]
        return np.concatenate([p.numpy().ravel() for p in parts])

    return whole, gradient


WAYS = {
    "ours, backsolve": ours,
    "ours, stored": partial(ours, adjoint="stored"),
    "ours, reversible": partial(ours, adjoint="reversible"),
    "diffrax, BacksolveAdjoint": partial(with_diffrax, adjoint=diffrax.BacksolveAdjoint()),
    "diffrax, RecursiveCheckpointAdjoint": partial(
        with_diffrax, adjoint=diffrax.RecursiveCheckpointAdjoint()
    ),
    "torchdiffeq, odeint_adjoint": partial(with_torch, adjoint=True),
    "torchdiffeq, backpropagation": partial(with_torch, adjoint=False),
}
NOTE = """
Network 2-64-64-2, 128 points, one thread each, 64 bit. The first call of the JAX libraries
compiles; after it the whole call is one compiled program. The ways take turns; the best of five
batches each. torchdiffeq runs from Python: at this size a part of its time is the dispatch of
small operations, which a larger network would hide. Its `rk4` is Kutta's 3/8 rule, of the same
order and number of evaluations.
""".replace("\n", " ").strip()


def first_call(whole):
    """Seconds of the first call."""
    start = time.perf_counter()
    whole()
    return time.perf_counter() - start


def main():
    params = ch.init_network(jax.random.key(0), SIZES)
    x = jax.random.normal(jax.random.key(1), (128, 2))
    rows = []
    for steps in (50, 200):
        made = {name: make(x, params, steps) for name, make in WAYS.items()}
        first = {name: first_call(whole) for name, (whole, _) in made.items()}
        reference = made["ours, stored"][1]()
        spent = {name: [] for name in made}
        for _ in range(5):  # they take turns
            for name, (whole, _) in made.items():
                spent[name].append(table.seconds(whole, repeats=1, at_least=0.3))
        base = min(spent["ours, backsolve"])
        for name, (_, gradient) in made.items():
            best = min(spent[name])
            error = np.max(np.abs(gradient() - reference)) / np.max(np.abs(reference))
            times = f"{1e3 * best:.2f}", f"{best / base:.2f}", f"{first[name]:.2f}"
            rows.append([name, str(steps), *times, f"{error:.0e}"])
            print(rows[-1], flush=True)
    head = ["way", "steps", "value and gradient (ms)", "in units of our backsolve"]
    head += ["first call (s)", "difference to the stored gradient"]
    title = "Gradient through RK4, chapter 6 beside diffrax and torchdiffeq"
    packages = ["jax", "diffrax", "torch", "torchdiffeq", "numpy"]
    table.write("06_neural_ode", title, head, rows, packages, NOTE)


if __name__ == "__main__":
    main()
