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


def turned(levels, seed, kind=float):
    """A matrix with the given levels in a random basis."""
    Q = jnp.linalg.qr(draw((len(levels),) * 2, seed, kind))[0]
    return Q @ jnp.diag(jnp.asarray(levels)).astype(Q.dtype) @ dag(Q)


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


def central(f, h):
    """f'(0) from eight values."""
    c = (4 / 5, -1 / 5, 4 / 105, -1 / 280)
    return sum(w * (f(k * h) - f(-k * h)) for k, w in enumerate(c, start=1)) / h


@pytest.mark.parametrize("n, kind", [(1, complex), (2, float), (9, complex)])
def test_eigh_is_that_of_jax_to_second_order(n, kind):
    A, M, V = hermitian(n, n, kind), hermitian(n, n + 1, kind), hermitian(n, n + 2, kind)
    ours, theirs = partial(loss, chapter.eigh, M), partial(loss, jnp.linalg.eigh, M)

    def derivatives(f, *more):
        ways = (jax.grad(f), along(along(f, V), V), *more)
        return jax.jit(lambda A: [way(A) for way in ways])(A)

    mixed = (against(along(ours, V), V), against(against(ours, V), V)) if n == 9 else ()
    gradient, *second = derivatives(ours, *mixed)
    wanted = derivatives(theirs)
    assert_allclose(gradient, wanted[0], rtol=1e-8, atol=1e-8)
    for got in second:
        assert_allclose(got, wanted[1], rtol=1e-8, atol=1e-8)


def test_eigh_of_a_batch():
    A, M = hermitian(4, 1), hermitian(4, 2)
    gradient = lambda solver: jax.grad(partial(loss, solver, M))
    batch = jax.jit(jax.vmap(gradient(chapter.eigh)))(jnp.stack([A, 2 * A + M]))
    wanted = jax.jit(gradient(jnp.linalg.eigh))(2 * A + M)
    assert_allclose(batch[1], wanted, rtol=1e-8, atol=1e-8)


def block(solver, M, A):
    W = solver(A)[1][:, :3]
    return real_sum(jnp.diagonal(W @ dag(W) @ M @ W @ dag(W) @ M))


@pytest.mark.parametrize("kind", [float, complex])
def test_invariant_loss_near_a_degeneracy(kind):
    M, V = hermitian(7, 4, kind), hermitian(7, 5, kind)
    plain = partial(block, chapter.eigh, M)
    space = partial(block, partial(chapter.low_space, k=3), M)
    first = jax.jit(lambda A: (along(plain, V)(A), against(plain, V)(A), along(space, V)(A)))
    second = jax.jit(lambda A: (along(along(plain, V), V)(A), along(along(space, V), V)(A)))
    for gap in (0.0, 1e-12, 1e-9, 1e-6, 1e-3):
        A = turned([-2.0, 0.3, 0.3 + gap, 1.4, 2, 2.5, 3], 3, kind)
        wanted = central(lambda t, A=A: plain(A + t * V), 1e-3)
        for got in first(A):
            assert_allclose(got, wanted, rtol=2e-7, atol=0)
        twice = central(lambda t, A=A: first(A + t * V)[0], 1e-3)
        refused, got = second(A)
        assert_allclose(got, twice, rtol=1e-6, atol=0)
        assert jnp.isnan(refused) if gap < 1e-5 else abs(refused / twice - 1) < 1e-6


def test_third_derivative_beside_a_degenerate_pair():
    A, V = jnp.diag(jnp.array([0.0, 1, 1, 2.5, 3, 4])), hermitian(6, 10)
    lowest = lambda A: jnp.real(chapter.low_space(A, 1)[0][0, 0])
    change = V[1:, 0] / -jnp.diagonal(A)[1:]
    wanted = 6 * (change @ V[1:, 1:] @ change - V[0, 0] * change @ change)
    second = along(along(lambda A: chapter.eigh(A)[0][0], V), V)
    ways = along(along(along(lowest, V), V), V), second, along(second, V)
    third, bend, refused = jax.jit(lambda A: [way(A) for way in ways])(A)
    assert_allclose(third, wanted, rtol=1e-10, atol=0)
    assert_allclose(bend, 2 * V[0, 1:] @ change, rtol=1e-10, atol=0)
    assert jnp.isnan(refused)


def test_scales_shifts_and_single_precision():
    A = hermitian(5, 6)
    gradient = jax.jit(jax.grad(lambda A: chapter.eigh(A)[1][0, 1] ** 2))
    size = jnp.abs(gradient(A)).max()
    for shift in (1e3, 1e9):
        off = jnp.abs(gradient(A + shift * jnp.eye(5)) - gradient(A)).max()
        assert off < 1e-14 * shift * 5 * size
    tiny = 1e-20 * gradient(1e-20 * A)
    assert_allclose(tiny, gradient(A), rtol=0, atol=1e-12 * size)
    single = gradient(A.astype("float32"))
    assert single.dtype == jnp.float32 and jnp.abs(single - gradient(A)).max() < 1e-4 * size
    pair = jnp.diag(jnp.array([0.0, 1, 1, 2, 3]))
    gradients = jax.jit(lambda A, M: jax.grad(partial(block, chapter.eigh, M))(A))
    wanted = gradients(pair, A)
    single = gradients(pair.astype("float32"), A.astype("float32"))
    assert jnp.abs(single - wanted).max() < 1e-4 * jnp.abs(wanted).max()


@pytest.mark.parametrize("gap", [1e-3, 1e-5])
def test_one_of_two_close_states(gap):
    A = turned([0.0, 1, 1 + gap, 2, 3], 6)

    def gradient(solver):
        return jax.grad(lambda A: solver(A)[1][0, 1] ** 2)(A)

    wanted = gradient(jnp.linalg.eigh)
    tolerance = 1e-7 * jnp.abs(wanted).max()
    assert_allclose(gradient(chapter.eigh), wanted, rtol=1e-7, atol=tolerance)


def test_exact_degeneracy_has_a_gradient_and_no_hessian():
    def f(A):
        d, U = chapter.eigh(A)
        return jnp.sum(d**2) + jnp.trace(U @ U.T)

    gradient, twice = jax.jit(jax.grad(f)), jax.jit(lambda A: along(along(f, A.T + 1), A)(A))
    for A in (np.zeros((3, 3)), np.eye(3), np.diag([2.0, 2, 5])):
        assert_allclose(gradient(A), 2 * A, rtol=0, atol=1e-12)
        assert jnp.isnan(twice(A))


def test_states_that_a_direction_selects():
    A, V = np.diag([0.0, 1, 1, 2.5, 3, 4]), np.asarray(hermitian(6, 11))
    d_dot, U_dot, U = chapter.degenerate_jvp(A, V)

    def states(t):
        X = np.linalg.eigh(A + t * V)[1]
        X = X[:, np.argmax(np.abs(X.T @ U), axis=0)]
        return X * np.sign(np.sum(X * U, axis=0))

    assert_allclose(central(states, 1e-3), U_dot, rtol=0, atol=1e-8)
    levels = [np.linalg.eigvalsh(A + t * V)[1:3] for t in (0, 1e-6)]
    assert_allclose(d_dot[1:3], (levels[1] - levels[0]) / 1e-6, rtol=0, atol=1e-4)
    assert jnp.isnan(chapter.degenerate_jvp(A, A)[1]).any()


@pytest.mark.parametrize("shape, kind", [((5, 5), complex), ((8, 3), float), ((3, 6), complex)])
def test_svd_to_second_order(shape, kind):
    A, W, V = (draw(shape, s, kind) for s in (1, 2, 3))

    def f(solver, A):
        U, s, Vh = solver(A)
        truncated = real_sum(U[:, :2] @ Vh[:2] * W)
        return truncated + jnp.sum(s**3) + jnp.sum(jnp.abs((U * jnp.sqrt(s)) @ Vh) ** 4)

    def derivatives(solver):
        g = partial(f, solver)
        return jax.jit(lambda A: (jax.grad(g)(A), along(along(g, V), V)(A)))(A)

    thin = derivatives(partial(jnp.linalg.svd, full_matrices=False))
    for got, wanted in zip(derivatives(chapter.svd), thin, strict=False):
        assert_allclose(got, wanted, rtol=1e-7, atol=1e-7)


def test_svd_of_low_rank():
    A = draw((6, 2), 1, complex) @ draw((2, 5), 2, complex)
    W, V = draw((6, 5), 3, complex), draw((6, 5), 4, complex)

    def f(A, rank=2):
        U, s, Vh = chapter.svd(A, rank)
        return real_sum((U[:, :2] * jnp.sqrt(s[:2])) @ Vh[:2] * W)

    compiled = jax.jit(lambda A: (f(A), against(f, V)(A)))
    value, first = compiled(A)
    U, s, Vh = jnp.linalg.svd(A, full_matrices=False)
    assert_allclose(value, real_sum((U[:, :2] * jnp.sqrt(s[:2])) @ Vh[:2] * W), rtol=1e-12, atol=0)
    assert_allclose(first, central(lambda t: compiled(A + t * V)[0], 1e-3), rtol=1e-7, atol=0)
    assert jnp.isnan(jax.jit(jax.grad(partial(f, rank=None)))(A)).all()
    assert jnp.isnan(chapter.svd(A, 3)[1][2])


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
    modes = (jax.jacfwd, jax.jacrev)
    ways = (
        [outer(jax.jacfwd(ours)) for outer in modes] if n == 90 else [jax.jacrev(jax.jacrev(ours))]
    )
    for got in jax.jit(lambda p: [way(p) for way in ways])(p):
        assert_allclose(jax.tree.leaves(got), wanted, rtol=1e-8, atol=1e-9)


def test_ground_state_of_closed_over_and_mapped_parameters():
    A, B = hermitian(12, 1), hermitian(12, 2)

    def energy(g):
        return chapter.ground_state(lambda _, v: A @ v + g * (B @ v), (), jnp.ones(12))[0]

    g = jnp.linspace(-1, 1, 5)
    dense = jax.vmap(jax.grad(lambda g: jnp.linalg.eigh(A + g * B)[0][0]))(g)
    assert_allclose(jax.jit(jax.vmap(jax.grad(energy)))(g), dense, rtol=1e-9, atol=0)


def test_ground_state_says_what_it_cannot_do():
    start = jnp.ones(9)
    product = lambda A, v: A @ v
    solved = jax.jit(lambda A: chapter.ground_state(product, A, start))
    V = hermitian(9, 6)
    assert jnp.isnan(solved(V + jnp.eye(9, k=1))[0])
    assert jnp.isnan(solved(V.at[0, 0].set(jnp.nan))[0])
    twin = turned([0.0, 0, 1, 1, 2, 2, 3, 4, 5], 5)
    assert jnp.isnan(jax.jvp(solved, (twin,), (V,))[1][1]).all()
    dense = jnp.linspace(0, 1, 4000) ** 4
    E = chapter.ground_state(lambda d, v: d * v, dense, jnp.ones(4000), 20, 30)[0]
    assert jnp.isnan(E)


def test_a_degenerate_partner_of_another_symmetry_does_no_harm():
    A, V, zero = hermitian(4, 1), hermitian(4, 2), jnp.zeros((4, 4))
    twice = lambda X: jnp.block([[X, zero], [zero, X]])
    start = jnp.concatenate([jnp.ones(4), jnp.zeros(4)])
    solved = jax.jit(lambda A, v: chapter.ground_state(lambda A, v: A @ v, A, v)[1])
    one = jax.jvp(lambda A: solved(A, jnp.ones(4)), (A,), (V,))[1]
    both = jax.jvp(lambda A: solved(A, start), (twice(A),), (twice(V),))[1]
    assert_allclose(both[:4], one, rtol=0, atol=1e-10)
    assert_allclose(both[4:], 0, rtol=0, atol=1e-12)


def test_degenerate_excited_states_do_not_matter():
    A = turned([0.0, 1, 1, 1, 2, 2, 3, 4, 5], 5)
    V, M = hermitian(9, 6), hermitian(9, 7)

    def f(t):
        psi = chapter.ground_state(lambda t, v: A @ v + t * (V @ v), t, jnp.ones(9))[1]
        return psi @ M @ psi

    first = jax.jit(jax.grad(f))
    second = jax.jit(jax.jacfwd(jax.grad(f)))(0.0)
    assert_allclose(second, central(first, 1e-2), rtol=1e-8, atol=0)


@pytest.mark.parametrize("N, g", [(2, 0.3), (10, 1.7)])
def test_tfim(N, g):
    got = jax.jit(lambda g: chapter.energy_derivatives(g, N))(g)
    assert_allclose(got, chapter.exact_derivatives(g, N), rtol=1e-9, atol=0)
    second, chi = jax.jit(lambda g: chapter.tfim_response(g, N))(g)
    assert_allclose(second, got[2], rtol=1e-9, atol=0)
    assert_allclose(chi, chapter.exact_susceptibility(g, N), rtol=1e-9, atol=0)


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


def test_inverse_schroedinger():
    n = 1001  # one size: compiled once
    box = lambda x: jnp.sin(jnp.pi * (x * 1000 + 1) / 1002) ** 2
    far = lambda x: jnp.exp(-((x - 20) ** 2) / 3)
    wide = lambda x: jnp.exp(-(x**2) / 800)
    for a, b, rho in ((-5, 5, two_humps), (0, 1, box), (0, 40, far), (-100, 100, wide)):
        x = jnp.linspace(a, b, n)
        V, density = chapter.inverse_schroedinger(rho(x), x), rho(x)
        assert jnp.isfinite(V).all()
        assert chapter.potential_error(V, chapter.exact_inversion(density, x), density) < 1e-7
    noise = 1 + draw(n, 1) ** 2 * 1e6
    noisy = chapter.inverse_schroedinger(noise, x)
    exact = chapter.exact_inversion(noise, x)
    assert jnp.isnan(noisy).all() or chapter.potential_error(noisy, exact, noise) < 1e-6


@pytest.mark.parametrize("N", [5, 16])
def test_engineered_chain(N):
    J = chapter.engineer(jnp.arange(N) - (N - 1) / 2)[-1]
    k = np.arange(1, N)
    assert_allclose(jnp.abs(J), np.sqrt(k * (N - k)) / 2, rtol=0, atol=1e-9)


def test_a_chain_that_is_not_found_is_nan():
    assert jnp.isnan(chapter.engineer(jnp.arange(5) - 2.0, 1)[-1]).all()


@pytest.mark.parametrize(
    "call",
    [
        lambda: chapter.eigh(jnp.ones((2, 3))),
        lambda: chapter.svd(jnp.ones(3)),
        lambda: chapter.tfim_matvec(1.0, jnp.ones(6)),
        lambda: chapter.ground_state(lambda p, v: v[:2], 1.0, jnp.ones(3)),
        lambda: chapter.inverse_schroedinger(jnp.ones(4), jnp.arange(5.0)),
        lambda: chapter.inverse_schroedinger(jnp.ones(5), -jnp.arange(5.0)),
        lambda: chapter.inverse_schroedinger(jnp.ones(5), jnp.arange(5.0) ** 2),
        lambda: chapter.engineer(jnp.array([0.0, 1, 3])),
    ],
)
def test_bad_input_gets_a_clear_error(call):
    with pytest.raises(ValueError, match=r"\("):
        call()
