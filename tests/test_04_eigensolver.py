"""The functions of chapter 4 at matrices, sizes and densities that the chapter does not use."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import lazily

jax.config.update("jax_enable_x64", True)
chapter = lazily("04_eigensolver")
assert_allclose = np.testing.assert_allclose


def dag(A):
    return jnp.conj(A.T)


def draw(shape, seed, kind=float):
    r = np.random.default_rng(seed)
    real = r.normal(size=shape)
    return jnp.asarray(real + 1j * r.normal(size=shape) if kind is complex else real)


def hermitian(n, seed, kind=float):
    A = draw((n, n), seed, kind)
    return (A + dag(A)) / 2


def real_sum(A):
    return jnp.real(jnp.sum(A))


def loss(solver, M, A):
    d, U = solver(A)
    weights = jnp.cos(jnp.arange(d.size**2.0)).reshape(M.shape)
    return jnp.sum(weights * jnp.abs(dag(U) @ M @ U) ** 2) + jnp.sum(jnp.sin(d))


def along(f, V):
    """A → the derivative of f at A along V, in forward mode."""
    return lambda A: jax.jvp(f, (A,), (V,))[1]


def against(f, V):
    """The same in reverse mode."""
    return lambda A: real_sum(jax.grad(f)(A) * V)


def second(f, A, V, modes=(along, against)):
    """The second derivative along V, by all compositions of the modes."""
    pairs = [outer(inner(f, V), V) for outer in modes for inner in modes]
    return jax.jit(lambda A: [pair(A) for pair in pairs])(A)


@pytest.mark.parametrize("n, kind", [(1, complex), (2, float), (23, complex)])
def test_eigh_is_that_of_jax_to_second_order(n, kind):
    A, M, V = hermitian(n, n, kind), hermitian(n, n + 1, kind), hermitian(n, n + 2, kind)
    ours, theirs = partial(loss, chapter.eigh, M), partial(loss, jnp.linalg.eigh, M)
    gradient = jax.jit(jax.grad(ours))(A)
    assert_allclose(gradient, jax.grad(theirs)(A), rtol=1e-9, atol=1e-9)
    wanted = jax.jit(along(along(theirs, V), V))(A)
    for got in second(ours, A, V, (along, against) if n == 23 else (against,)):
        assert_allclose(got, wanted, rtol=1e-8, atol=1e-8)
    batch = jnp.stack([A, 2 * A + M])
    gradients = jax.vmap(jax.grad(ours))(batch)
    assert_allclose(gradients[1], jax.grad(theirs)(batch[1]), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("gap", [0.0, 1e-12, 1e-9, 1e-6, 1e-3])
@pytest.mark.parametrize("kind", [float, complex])
def test_invariant_loss_near_a_degeneracy(gap, kind):
    Q, M = jnp.linalg.qr(draw((7, 7), 3, kind))[0], hermitian(7, 4, kind)
    levels = jnp.array([-2.0, 0.3, 0.3 + gap, 1.4, 2, 2.5, 3])
    A = Q @ jnp.diag(levels).astype(Q.dtype) @ dag(Q)

    def f(A):
        U = chapter.eigh(A)[1][:, :3]
        return jnp.real(jnp.trace(U @ dag(U) @ M @ U @ dag(U) @ M))

    V, h = hermitian(7, 5, kind), 1e-3
    c = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    wanted = sum(c[k - 1] * (f(A + k * h * V) - f(A - k * h * V)) for k in range(1, 5)) / h
    assert_allclose(against(f, V)(A), wanted, rtol=2e-7, atol=0)
    assert_allclose(along(f, V)(A), wanted, rtol=2e-7, atol=0)
    assert jnp.isfinite(along(jax.grad(f), V)(A)).all()


@pytest.mark.parametrize("gap", [1e-3, 1e-5])
def test_one_of_two_close_states(gap):
    Q = jnp.linalg.qr(draw((5, 5), 6))[0]
    A = Q @ jnp.diag(jnp.array([0.0, 1, 1 + gap, 2, 3])) @ Q.T

    def gradient(solver):
        return jax.grad(lambda A: solver(A)[1][0, 1] ** 2)(A)

    wanted = gradient(jnp.linalg.eigh)
    tolerance = 1e-7 * jnp.abs(wanted).max()
    assert_allclose(gradient(chapter.eigh), wanted, rtol=1e-7, atol=tolerance)


def test_exact_degeneracy_is_finite():
    def f(A):
        d, U = chapter.eigh(A)
        return jnp.sum(d**2) + jnp.trace(U @ U.T)

    gradient, hessian = jax.jit(jax.grad(f)), jax.jit(jax.hessian(f))
    for A in (np.zeros((3, 3)), np.eye(3), np.diag([2.0, 2, 5])):
        assert jnp.isfinite(hessian(A)).all()
        assert_allclose(gradient(A), 2 * A, rtol=0, atol=1e-12)


def test_reverse_formula_is_the_transpose():
    for kind in (float, complex):
        A, U_bar, V = hermitian(6, 7, kind), draw((6, 6), 8, kind), hermitian(6, 9, kind)
        (d, U), (d_dot, U_dot) = jax.jvp(chapter.eigh, (A,), (V,))
        A_bar = chapter.eigh_vjp(d, U, jnp.sin(d), U_bar)
        left = real_sum(jnp.conj(A_bar) * V)
        right = jnp.sin(d) @ d_dot + real_sum(jnp.conj(U_bar) * U_dot)
        assert_allclose(left, right, rtol=1e-10, atol=0)


@pytest.mark.parametrize("shape, kind", [((5, 5), complex), ((8, 3), float), ((3, 9), complex)])
def test_svd_to_second_order(shape, kind):
    A, W, V = (draw(shape, s, kind) for s in (1, 2, 3))

    def f(solver, A):
        U, s, Vh = solver(A)
        truncated = real_sum(U[:, :2] @ Vh[:2] * W)
        return truncated + jnp.sum(s**3) + jnp.sum(jnp.abs((U * jnp.sqrt(s)) @ Vh) ** 4)

    thin = partial(jnp.linalg.svd, full_matrices=False)
    ours, theirs = partial(f, chapter.svd), partial(f, thin)
    gradients = jax.jit(lambda A: (jax.grad(ours)(A), jax.grad(theirs)(A)))(A)
    assert_allclose(*gradients, rtol=1e-8, atol=1e-8)
    wanted = jax.jit(along(along(theirs, V), V))(A)
    for got in second(ours, A, V, (along, against) if shape == (3, 9) else (against,)):
        assert_allclose(got, wanted, rtol=1e-7, atol=1e-7)


def test_svd_of_low_rank_is_finite_and_right():
    A = draw((6, 2), 1, complex) @ draw((2, 5), 2, complex)
    W, V = draw((6, 5), 3, complex), draw((6, 5), 4, complex)

    def f(A):
        U, s, Vh = chapter.svd(A)
        return real_sum((U[:, :2] * jnp.sqrt(s[:2])) @ Vh[:2] * W)

    wanted = (8 * (f(A + 1e-4 * V) - f(A - 1e-4 * V)) - f(A + 2e-4 * V) + f(A - 2e-4 * V)) / 12e-4
    assert_allclose(jax.jit(against(f, V))(A), wanted, rtol=1e-7, atol=0)
    twice = jax.jit(lambda A: (along(jax.grad(f), V)(A), jax.grad(against(f, V))(A)))(A)
    assert jnp.isfinite(jnp.array(twice)).all()


@pytest.mark.parametrize("n, kind", [(2, complex), (90, float)])
def test_ground_state_to_second_order(n, kind):
    A, B, C = (hermitian(n, s, kind) for s in (1, 2, 3))
    p = {"b": jnp.float64(0.7), "deep": [jnp.float64(-0.4)]}

    def matrix(p):
        return A + p["b"] * B / n + p["deep"][0] ** 2 * C / n

    def f(E, psi):
        return jnp.cos(E / n) + jnp.real(jnp.vdot(psi, C @ psi))

    def ours(p):
        return f(*chapter.ground_state(lambda p, v: matrix(p) @ v, p, draw(n, 4)))

    def dense(p):
        d, U = chapter.eigh(matrix(p))
        return f(d[0], U[:, 0])

    wanted = jax.tree.leaves(jax.jit(jax.hessian(dense))(p))
    modes = (jax.jacfwd, jax.jacrev) if n == 90 else (jax.jacrev,)
    ways = [outer(inner(ours)) for outer in modes for inner in modes]
    for got in jax.jit(lambda p: [way(p) for way in ways])(p):
        assert_allclose(jax.tree.leaves(got), wanted, rtol=1e-8, atol=1e-9)


def test_ground_state_maps_over_parameters():
    A, B = hermitian(12, 1), hermitian(12, 2)

    def energy(g):
        return chapter.ground_state(lambda g, v: A @ v + g * (B @ v), g, jnp.ones(12))[0]

    g = jnp.linspace(-1, 1, 5)
    dense = jax.vmap(jax.grad(lambda g: jnp.linalg.eigh(A + g * B)[0][0]))(g)
    assert_allclose(jax.jit(jax.vmap(jax.grad(energy)))(g), dense, rtol=1e-9, atol=0)


def test_degenerate_excited_states_do_not_matter():
    Q = jnp.linalg.qr(draw((9, 9), 5))[0]
    A = Q @ jnp.diag(jnp.array([0.0, 1, 1, 1, 2, 2, 3, 4, 5])) @ Q.T
    V, M = hermitian(9, 6), hermitian(9, 7)

    @jax.jit
    def f(t):
        psi = chapter.ground_state(lambda t, v: A @ v + t * (V @ v), t, jnp.ones(9))[1]
        return psi @ M @ psi

    def bend(h):
        return (f(h) - 2 * f(0.0) + f(-h)) / h**2

    h = 1e-2
    wanted = (64 * bend(h / 4) - 20 * bend(h / 2) + bend(h)) / 45
    assert_allclose(jax.jit(jax.grad(jax.grad(f)))(0.0), wanted, rtol=1e-6, atol=0)


@pytest.mark.parametrize("N, g", [(2, 0.3), (12, 1.7)])
def test_tfim(N, g):
    def got(g):
        return chapter.ground_state(chapter.tfim_matvec, g, jnp.ones(2**N))[0] / N

    wanted = partial(chapter.tfim_exact, N=N)
    for _ in range(3):
        assert_allclose(jax.jit(got)(g), wanted(g), rtol=1e-9, atol=0)
        wanted, got = jax.grad(wanted), jax.grad(got)


def test_tfim_is_the_matrix_of_kronecker_products():
    N, g = 4, 0.6
    X, Z, one = np.array([[0, 1], [1, 0]]), np.diag([1, -1]), np.eye(2)

    def on(sites):
        out = np.eye(1)
        for k in range(N):
            out = np.kron(out, sites.get(k, one))
        return out

    H = -sum(on({k: Z}) @ on({(k + 1) % N: Z}) + g * on({k: X}) for k in range(N))
    v = draw(2**N, 1, complex)
    assert_allclose(chapter.tfim_matvec(g, v), H @ v, rtol=0, atol=1e-12)


def two_humps(x):
    return jnp.exp(-((x - 1.5) ** 2)) + 0.5 * jnp.exp(-2 * (x + 1.5) ** 2)


@pytest.mark.parametrize(
    "name, n, a, b, rho",
    [
        ("two humps", 1001, -5, 5, two_humps),
        ("box", 1001, 0, 1, lambda x: jnp.sin(jnp.pi * (x * 1000 + 1) / 1002) ** 2),
        ("far tails", 1001, 0, 40, lambda x: jnp.exp(-((x - 20) ** 2) / 3)),
    ],
)
def test_inverse_schroedinger(name, n, a, b, rho):
    x = jnp.linspace(a, b, n)
    density = rho(x)
    V = chapter.inverse_schroedinger(density, x)
    assert jnp.isfinite(V).all()
    assert chapter.potential_error(V, chapter.exact_inversion(density, x), density) < 1e-7


@pytest.mark.parametrize("N", [5, 10, 16])
def test_engineered_chain(N):
    J = chapter.engineer(jnp.arange(N) - (N - 1) / 2)[-1]
    k = np.arange(1, N)
    assert_allclose(jnp.abs(J), np.sqrt(k * (N - k)) / 2, rtol=0, atol=1e-9)


@pytest.mark.parametrize(
    "call",
    [
        lambda: chapter.eigh(jnp.ones((2, 3))),
        lambda: chapter.svd(jnp.ones(3)),
        lambda: chapter.tfim_matvec(1.0, jnp.ones(6)),
        lambda: chapter.ground_state(lambda p, v: v[:2], 1.0, jnp.ones(3)),
        lambda: chapter.inverse_schroedinger(jnp.ones(4), jnp.ones(5)),
    ],
)
def test_bad_input_gets_a_clear_error(call):
    with pytest.raises(ValueError, match=r"\("):
        call()
