"""The named functions of chapter 4 at matrices, sizes and densities that the chapter does not use."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import course

ch = course.load("04_eigensolver")
dag = lambda A: jnp.conj(A.T)


def draw(shape, seed, kind=float):
    r = np.random.default_rng(seed)
    return jnp.asarray(r.normal(size=shape) + (1j * r.normal(size=shape) if kind is complex else 0))


def hermitian(n, seed, kind=float):
    A = draw((n, n), seed, kind)
    return (A + dag(A)) / 2


def loss(solver, M, A):
    d, U = solver(A)
    return jnp.sum(
        jnp.cos(jnp.arange(d.size**2.0)).reshape(M.shape) * jnp.abs(dag(U) @ M @ U) ** 2
    ) + jnp.sum(jnp.sin(d))


def second(f, A, V):
    """The second derivative along V, by four compositions of modes."""
    along = lambda A: jax.jvp(f, (A,), (V,))[1]
    pair = lambda G: jnp.real(jnp.sum(G * V))
    return jax.jit(
        lambda A: (
            jax.jvp(along, (A,), (V,))[1],
            pair(jax.jvp(jax.grad(f), (A,), (V,))[1]),
            pair(jax.grad(along)(A)),
            pair(jax.grad(lambda A: pair(jax.grad(f)(A)))(A)),
        )
    )(A)


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("n", [1, 2, 23])
def test_eigh_is_that_of_jax_to_second_order(n, kind):
    A, M, V = hermitian(n, n, kind), hermitian(n, n + 1, kind), hermitian(n, n + 2, kind)
    ours, theirs = partial(loss, ch.eigh, M), partial(loss, jnp.linalg.eigh, M)
    np.testing.assert_allclose(
        jax.jit(jax.grad(ours))(A), jax.grad(theirs)(A), rtol=1e-9, atol=1e-9
    )
    wanted = jax.jit(lambda A: jax.jvp(lambda A: jax.jvp(theirs, (A,), (V,))[1], (A,), (V,))[1])(A)
    for got in second(ours, A, V):
        np.testing.assert_allclose(got, wanted, rtol=1e-8, atol=1e-8)
    batch = jnp.stack([A, 2 * A + M])
    np.testing.assert_allclose(
        jax.vmap(jax.grad(ours))(batch)[1], jax.grad(theirs)(batch[1]), rtol=1e-8, atol=1e-8
    )


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("kind", [float, complex])
def test_invariant_loss_near_a_degeneracy(gap, kind):
    Q, M = jnp.linalg.qr(draw((7, 7), 3, kind))[0], hermitian(7, 4, kind)
    levels = jnp.array([-2.0, 0.3, 0.3 + gap, 1.4, 2, 2.5, 3])
    A = Q @ jnp.diag(levels).astype(Q.dtype) @ dag(Q)

    def f(A):
        U = ch.eigh(A)[1][:, :3]
        return jnp.real(jnp.trace(U @ dag(U) @ M @ U @ dag(U) @ M))

    G, V, h = jax.grad(f)(A), hermitian(7, 5, kind), 1e-3
    c = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    wanted = sum(c[k - 1] * (f(A + k * h * V) - f(A - k * h * V)) for k in range(1, 5)) / h
    np.testing.assert_allclose(jnp.real(jnp.sum(G * V)), wanted, rtol=2e-7)
    np.testing.assert_allclose(jax.jvp(f, (A,), (V,))[1], wanted, rtol=2e-7)
    assert jnp.isfinite(jax.jvp(jax.grad(f), (A,), (V,))[1]).all()


@pytest.mark.parametrize("gap", [1e-3, 1e-5])
def test_one_of_two_close_states(gap):
    Q = jnp.linalg.qr(draw((5, 5), 6))[0]
    A = Q @ jnp.diag(jnp.array([0.0, 1, 1 + gap, 2, 3])) @ Q.T
    f = lambda solver: jax.grad(lambda A: solver(A)[1][0, 1] ** 2)(A)
    np.testing.assert_allclose(
        f(ch.eigh), f(jnp.linalg.eigh), rtol=1e-7, atol=1e-7 * jnp.abs(f(jnp.linalg.eigh)).max()
    )


@pytest.mark.parametrize("A", [jnp.zeros((3, 3)), jnp.eye(4), jnp.diag(jnp.array([2.0, 2, 5]))])
def test_exact_degeneracy_is_finite(A):
    f = lambda A: jnp.sum(ch.eigh(A)[0] ** 2) + jnp.trace(ch.eigh(A)[1] @ ch.eigh(A)[1].T)
    assert jnp.isfinite(jax.hessian(f)(A)).all()
    np.testing.assert_allclose(jax.grad(f)(A), 2 * A, atol=1e-12)


def test_reverse_formula_is_the_transpose():
    for kind in (float, complex):
        A, U_bar, V = hermitian(6, 7, kind), draw((6, 6), 8, kind), hermitian(6, 9, kind)
        (d, U), (d_dot, U_dot) = jax.jvp(ch.eigh, (A,), (V,))
        A_bar = ch.eigh_vjp(d, U, jnp.sin(d), U_bar)
        left = jnp.real(jnp.sum(jnp.conj(A_bar) * V))
        np.testing.assert_allclose(
            left, jnp.sin(d) @ d_dot + jnp.real(jnp.sum(jnp.conj(U_bar) * U_dot)), rtol=1e-10
        )


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("shape", [(5, 5), (8, 3), (3, 9)])
def test_svd_to_second_order(shape, kind):
    A, W, V = (draw(shape, s, kind) for s in (1, 2, 3))

    def f(solver, A):
        U, s, Vh = solver(A)
        return (
            jnp.real(jnp.sum(U[:, :2] @ Vh[:2] * W))
            + jnp.sum(s**3)
            + jnp.sum(jnp.abs((U * jnp.sqrt(s)) @ Vh) ** 4)
        )

    ours, theirs = partial(f, ch.svd), partial(f, partial(jnp.linalg.svd, full_matrices=False))
    np.testing.assert_allclose(jax.grad(ours)(A), jax.grad(theirs)(A), rtol=1e-8, atol=1e-8)
    wanted = jax.jit(lambda A: jax.jvp(lambda A: jax.jvp(theirs, (A,), (V,))[1], (A,), (V,))[1])(A)
    for got in second(ours, A, V):
        np.testing.assert_allclose(got, wanted, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("kind", [float, complex])
def test_svd_of_low_rank_is_finite_and_right(kind):
    A, W, V = (
        draw((6, 2), 1, kind) @ draw((2, 5), 2, kind),
        draw((6, 5), 3, kind),
        draw((6, 5), 4, kind),
    )

    def f(A):
        U, s, Vh = ch.svd(A)
        return jnp.real(jnp.sum((U[:, :2] * jnp.sqrt(s[:2])) @ Vh[:2] * W))

    wanted = (8 * (f(A + 1e-4 * V) - f(A - 1e-4 * V)) - f(A + 2e-4 * V) + f(A - 2e-4 * V)) / 12e-4
    np.testing.assert_allclose(jnp.real(jnp.sum(jax.grad(f)(A) * V)), wanted, rtol=1e-7)
    assert jnp.isfinite(jax.jvp(jax.grad(f), (A,), (V,))[1]).all()
    assert jnp.isfinite(jax.grad(lambda A: jnp.real(jnp.sum(jax.grad(f)(A) * V)))(A)).all()


@pytest.mark.parametrize("kind", [float, complex])
@pytest.mark.parametrize("n", [2, 90])
def test_ground_state_to_second_order(n, kind):
    A, B, C = (hermitian(n, s, kind) for s in (1, 2, 3))
    matrix = lambda p: A + p["b"] * B / n + p["deep"][0] ** 2 * C / n
    p = {"b": jnp.float64(0.7), "deep": [jnp.float64(-0.4)]}
    f = lambda E, psi: jnp.cos(E / n) + jnp.real(jnp.vdot(psi, C @ psi))
    ours = lambda p: f(*ch.ground_state(lambda p, v: matrix(p) @ v, p, draw(n, 4)))
    dense = lambda p: f(ch.eigh(matrix(p))[0][0], ch.eigh(matrix(p))[1][:, 0])
    wanted = jax.tree.leaves(jax.jit(jax.hessian(dense))(p))
    for outer in (jax.jacfwd, jax.jacrev):
        for inner in (jax.jacfwd, jax.jacrev):
            np.testing.assert_allclose(
                jax.tree.leaves(jax.jit(outer(inner(ours)))(p)), wanted, rtol=1e-8, atol=1e-9
            )


def test_ground_state_maps_over_parameters():
    A, B = hermitian(12, 1), hermitian(12, 2)
    energy = lambda g: ch.ground_state(lambda g, v: A @ v + g * (B @ v), g, jnp.ones(12))[0]
    g = jnp.linspace(-1, 1, 5)
    dense = jax.vmap(jax.grad(lambda g: jnp.linalg.eigh(A + g * B)[0][0]))(g)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.grad(energy)))(g), dense, rtol=1e-9)


def test_degenerate_excited_states_do_not_matter():
    Q = jnp.linalg.qr(draw((9, 9), 5))[0]
    A, V, M = (
        Q @ jnp.diag(jnp.array([0.0, 1, 1, 1, 2, 2, 3, 4, 5])) @ Q.T,
        hermitian(9, 6),
        hermitian(9, 7),
    )
    psi = lambda t: ch.ground_state(lambda t, v: A @ v + t * (V @ v), t, jnp.ones(9))[1]
    f, h = jax.jit(lambda t: psi(t) @ M @ psi(t)), 1e-2
    bend = lambda h: (f(h) - 2 * f(0.0) + f(-h)) / h**2
    np.testing.assert_allclose(
        jax.jit(jax.grad(jax.grad(f)))(0.0),
        (64 * bend(h / 4) - 20 * bend(h / 2) + bend(h)) / 45,
        rtol=1e-6,
    )


@pytest.mark.parametrize("N, g", [(2, 0.3), (6, 0.8), (8, 1.0), (12, 1.7)])
def test_tfim(N, g):
    energy = lambda g: ch.ground_state(ch.tfim_matvec, g, jnp.ones(2**N))[0] / N
    for k in range(3):
        wanted, got = partial(ch.tfim_exact, N=N), energy
        for _ in range(k):
            wanted, got = jax.grad(wanted), jax.grad(got)
        np.testing.assert_allclose(jax.jit(got)(g), wanted(g), rtol=1e-9)


def test_tfim_is_the_matrix_of_kronecker_products():
    N, g = 4, 0.6
    X, Z, one = np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.eye(2)

    def on(**sites):
        out = np.eye(1)
        for k in range(N):
            out = np.kron(out, sites.get(f"s{k}", one))
        return out

    H = -sum(
        on(**{f"s{k}": Z}) @ on(**{f"s{(k + 1) % N}": Z}) + g * on(**{f"s{k}": X}) for k in range(N)
    )
    v = draw(2**N, 1, complex)
    np.testing.assert_allclose(ch.tfim_matvec(g, v), H @ v, atol=1e-12)


@pytest.mark.parametrize(
    "name, n, a, b, rho",
    [
        ("off-centre Gaussian", 1201, -6, 4, lambda x: jnp.exp(-1.5 * (x + 1) ** 2)),
        (
            "two humps",
            1000,
            -5,
            5,
            lambda x: jnp.exp(-((x - 1.5) ** 2)) + 0.5 * jnp.exp(-2 * (x + 1.5) ** 2),
        ),
        ("exponential tails", 700, -7, 7, lambda x: 1 / jnp.cosh(x) ** 2),
        ("box", 500, 0, 1, lambda x: jnp.sin(jnp.pi * (x * 499 + 1) / 501) ** 2),
        ("far tails", 1001, 0, 40, lambda x: jnp.exp(-((x - 20) ** 2) / 3)),
    ],
)
def test_inverse_schroedinger(name, n, a, b, rho):
    x = jnp.linspace(a, b, n)
    density = rho(x)
    V = ch.inverse_schroedinger(density, x)
    assert jnp.isfinite(V).all()
    assert ch.potential_error(V, ch.exact_inversion(density, x), density) < 1e-7


@pytest.mark.parametrize("N", [5, 10, 16])
def test_engineered_chain(N):
    J = ch.engineer(jnp.arange(N) - (N - 1) / 2)[-1]
    np.testing.assert_allclose(
        jnp.abs(J), np.sqrt(np.arange(1, N) * (N - np.arange(1, N))) / 2, atol=1e-9
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda: ch.eigh(jnp.ones((2, 3))),
        lambda: ch.svd(jnp.ones(3)),
        lambda: ch.tfim_matvec(1.0, jnp.ones(6)),
        lambda: ch.ground_state(lambda p, v: v[:2], 1.0, jnp.ones(3)),
        lambda: ch.inverse_schroedinger(jnp.ones(4), jnp.ones(5)),
    ],
)
def test_bad_input_gets_a_clear_error(call):
    with pytest.raises(ValueError, match=r"\("):
        call()
