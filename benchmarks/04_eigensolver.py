"""Value and gradient of a ground-state observable: chapter 4's dominant eigensolver,
jnp.linalg.eigh, and scipy with the same rule by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import scipy.sparse.linalg
import table

import course

ch = course.load("04_eigensolver")
g = 1.05
moment = lambda psi: jnp.sum(psi[: psi.size // 2] ** 4)


def ours(g, N):
    return moment(ch.ground_state(ch.tfim_matvec, g, jnp.ones(2**N))[1])


def dense(g, N):
    H = jax.vmap(partial(ch.tfim_matvec, g))(jnp.eye(2**N)) + 1e-6 * jnp.diag(
        jnp.sin(jnp.arange(2.0**N))
    )  # splits the pairs
    return moment(jnp.linalg.eigh(H)[1][:, 0])


def ready(f):
    """f(g), waited for."""
    return jax.block_until_ready(f(g))


def arpack(N):
    """Value and gradient by eigsh and minres."""
    apply = jax.jit(partial(ch.tfim_matvec, g))
    product = lambda v: np.asarray(apply(v.ravel()))
    H = scipy.sparse.linalg.LinearOperator((2**N, 2**N), matvec=product, dtype=float)
    E, psi = scipy.sparse.linalg.eigsh(H, k=1, which="SA", v0=np.ones(2**N))
    E, psi = E[0], psi[:, 0]
    psi_bar = np.asarray(jax.grad(moment)(psi))
    shifted = scipy.sparse.linalg.LinearOperator(
        H.shape, matvec=lambda v: product(v) - E * v.ravel(), dtype=float
    )
    xi = scipy.sparse.linalg.minres(shifted, psi_bar - psi * (psi @ psi_bar), rtol=1e-12)[0]
    return -xi @ np.asarray(ch.tfim_matvec(1.0, psi) - ch.tfim_matvec(0.0, psi))


rows = []
for N in (8, 10, 12, 14, 16):
    value, both = jax.jit(partial(ours, N=N)), jax.jit(jax.value_and_grad(partial(ours, N=N)))
    t_value, t_both = (table.seconds(partial(ready, f), 3) for f in (value, both))
    t_peer, difference = table.seconds(partial(arpack, N), 3), abs(arpack(N) / both(g)[1] - 1)
    if N <= 10:
        full = jax.jit(jax.value_and_grad(partial(dense, N=N)))
        t_full = table.seconds(partial(ready, full), 2)
    rows.append(
        [
            f"{N}",
            f"{1e3 * t_value:.2f}",
            f"{t_both / t_value:.2f}",
            f"{t_full / t_both:.0f}" if N <= 10 else "–",
            f"{t_peer / t_both:.1f}",
            f"{difference:.0e}",
        ]
    )

table.write(
    "04_eigensolver",
    "Gradient through a ground state: transverse-field Ising ring of N spins, g = 1.05",
    [
        "N",
        "value (ms)",
        "value and gradient / value",
        "jnp.linalg.eigh / ours",
        "eigsh and minres / ours",
        "difference from eigsh (relative)",
    ],
    rows,
    ["jax", "numpy", "scipy"],
    "One thread; the best of several batches; value and gradient of half the inverse "
    "participation ratio of the ground state. "
    "A small diagonal term splits degenerate levels for `jnp.linalg.eigh`, whose gradient is not "
    "finite without it.",
)
