"""Chapter 3: its functions at values and sizes that the chapter does not use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from conftest import lazily

import course

ch = lazily("03_primitives")
draw = np.random.default_rng(20261124)


def layers(x, theta):
    """A contraction of a pytree, with a pytree of parameters."""
    return {
        "a": jnp.cos(theta["w"] @ x["a"] + x["b"]),
        "b": 0.3 * jnp.sin(x["b"] * theta["c"]) + 0.1 * jnp.sum(x["a"]),
    }


# NumPy's arrays have 64 bits whether or not the chapter, which asks JAX for them, is loaded
THETA = {"w": 0.2 * draw.normal(size=(3, 3)), "c": np.asarray(0.4)}
X0 = {"a": np.zeros(3), "b": np.asarray(0.0)}


def test_fixed_point_of_pytrees_to_second_order():
    loss = lambda solve: lambda theta: jnp.sum(solve(theta)["a"] ** 2)
    ours = loss(lambda theta: ch.fixed_point(layers, theta, X0))
    loop = loss(lambda theta: ch.unrolled(layers, theta, X0, 200))
    for derive in (
        jax.grad,
        jax.jacfwd,
        jax.hessian,
        lambda f: jax.jacrev(jax.jacrev(f)),
        lambda f: jax.jacrev(jax.jacfwd(f)),
    ):
        got, want = jax.jit(derive(ours))(THETA), jax.jit(derive(loop))(THETA)
        for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(g, w, rtol=0, atol=1e-10)


def test_fixed_point_third_derivative_vmap_and_closure():
    square_root = lambda a: ch.fixed_point(lambda x, a: (x + a / x) / 2, a, 1.0)
    third = jax.jit(jax.grad(jax.grad(jax.grad(square_root))))(2.0)
    assert abs(third - 3 / 8 * 2.0**-2.5) < 1e-10
    a = jnp.linspace(1, 30, 7)
    slopes = jax.jit(jax.vmap(jax.grad(square_root)))(a)
    np.testing.assert_allclose(slopes, 0.5 / np.sqrt(a), rtol=1e-10, atol=0)
    hidden = jax.grad(lambda s: ch.fixed_point(lambda x, _: (x + s / x) / 2, 0.0, 1.0))(3.0)
    assert abs(hidden - 0.5 / np.sqrt(3)) < 1e-10


def test_fixed_point_complex():
    f = lambda x, t: 0.5 * jnp.exp(1j * x) * t + 0.1j * x
    t = 0.7 + 0.2j
    ours = jax.grad(lambda t: abs(ch.fixed_point(f, t, 0.1 + 0j)) ** 2)(t)
    loop = jax.grad(lambda t: abs(ch.unrolled(f, t, 0.1 + 0j, 200)) ** 2)(t)
    assert abs(ours - loop) < 1e-10


def test_fixed_point_says_what_is_wrong():
    with pytest.raises(ValueError, match="return what it takes"):
        ch.fixed_point(lambda x, t: x[:2], 1.0, jnp.zeros(3))
    with pytest.warns(UserWarning, match="no fixed point: after 50 steps"):
        x = ch.fixed_point(lambda x, t: 2 * x + t, 1.0, 1.0, max_steps=50)
        jax.effects_barrier()
    assert jnp.isnan(x), "no silent answer without convergence"


@pytest.mark.parametrize("size", [1e-200, 1e-19, 1e150])
def test_fixed_point_at_every_scale_and_rate(size):
    assert abs(ch.fixed_point(lambda x, t: 0.9 * x + t, size, 0.0) / size - 10) < 1e-12
    slope = jax.grad(lambda t: ch.fixed_point(lambda x, t: 0.99 * x + t * t, t, 0.0))(2.0)
    assert abs(slope / 400 - 1) < 1e-10


def test_fixed_point_in_32_bits():
    M = np.linspace(-3, 3, 101, dtype=np.float32)
    E = jax.jit(jax.vmap(lambda M: ch.anomaly(np.float32(0.8), M)))(M)
    assert E.dtype == np.float32
    assert np.max(np.abs(E - 0.8 * np.sin(E) - M)) < 1e-4
    slope = jax.jit(jax.grad(lambda M: ch.anomaly(np.float32(0.8), M)))(M[70])
    assert abs(slope * (1 - 0.8 * np.cos(E[70])) - 1) < 1e-3


def test_three_lines():
    a = jnp.asarray([1e-20, 0.3, 7.0, 1e20])
    np.testing.assert_allclose(ch.square_root(a), np.sqrt(a), rtol=1e-14, atol=0)
    assert jnp.isnan(ch.square_root(jnp.asarray([0.0, -1, 1e40]))).all()
    with pytest.raises(TypeError, match="real numbers"):
        ch.host(np.sqrt, 1j)


def test_external_solver_refuses_and_fails_aloud():
    parts = [np.ones(2), np.full(3, 4.0), np.ones(2), np.arange(3.0)]
    routine = ch.c_solver(ch.compile_c(ch.C_SOURCE))
    for solve in (routine, ch.thomas, ch.tridiagonal_solve):
        with pytest.raises(TypeError, match="float64"):
            solve(*[part.astype(np.float32) for part in parts])
        with pytest.raises(ValueError, match="shapes"):
            solve(parts[0], parts[1], parts[2][:1], parts[3])
    strided = np.stack([parts[1], parts[1]], 1)[:, 0]
    np.testing.assert_allclose(
        routine(parts[0], strided, parts[2], parts[3]), ch.thomas(*parts), rtol=1e-15, atol=1e-15
    )
    assert ch.c_solver(None) is ch.thomas
    assert ch.compile_c("this is no C") is None
    tiny = [np.ones(1), np.asarray([1e-20, 1.0]), np.ones(1), np.asarray([1.0, 2.0])]
    assert jnp.isnan(ch.tridiagonal_solve(*map(jnp.asarray, tiny), routine=routine)).all()


def test_what_is_not_supported_is_refused():
    for call in (
        lambda: ch.norm(jnp.asarray([3j, 4])),
        lambda: ch.bessel_j(1.0, 1j),
        lambda: ch.lstsq(jnp.ones((3, 1)), 1j * jnp.ones(3)),
        lambda: ch.spd_solve(lambda u: u, 1j * jnp.ones(3)),
    ):
        with pytest.raises(TypeError, match="complex"):
            call()
    with pytest.raises(TypeError, match="no derivative in its order"):
        jax.grad(ch.bessel_j)(2.0, 1.5)
    with pytest.raises(ValueError, match="no square"):
        ch.checkpointed_chain(jnp.eye(2), (jnp.ones(2), jnp.ones(2)), 10)
    with pytest.raises(ValueError, match="do not fit"):
        ch.lstsq(jnp.ones((2, 3)), jnp.ones(2))


def test_conjugate_gradients_not_converged_are_nan():
    A = jnp.diag(jnp.logspace(0, 14, 60))
    assert jnp.isnan(jax.jit(lambda b: ch.spd_solve(lambda u: A @ u, b))(jnp.ones(60))).all()


def test_memory_does_not_grow_with_the_iterations():
    n = 50
    J = jnp.asarray(draw.normal(size=(n, n)) / 20)
    p = (0.5, J, jnp.ones(n))
    need = lambda way: (
        lambda k: ch.temporary_bytes(
            jax.grad(lambda p: jnp.sum(way(ch.mean_field, p, jnp.zeros(n), k))), p
        )
    )
    assert need(ch.implicit_steps)(1000) <= 1.05 * need(ch.implicit_steps)(10)
    assert need(ch.unrolled)(1000) > 10 * need(ch.implicit_steps)(1000)
    solve = lambda tol: ch.temporary_bytes(
        jax.grad(lambda p: jnp.sum(ch.fixed_point(ch.mean_field, p, jnp.zeros(n), tol=tol))), p
    )
    assert solve(1e-14) == solve(1e-2)


@pytest.mark.parametrize("e", [0.01, 0.93])
def test_kepler(e):
    M = 2.2
    E = ch.anomaly(e, M)
    assert abs(E - e * np.sin(E) - M) < 1e-11
    assert abs(jax.grad(ch.anomaly, 0)(e, M) - np.sin(E) / (1 - e * np.cos(E))) < 1e-11
    second = jax.jit(jax.jacfwd(jax.grad(ch.anomaly, 1), 1))(e, M)
    assert abs(second + e * np.sin(E) / (1 - e * np.cos(E)) ** 3) < 1e-9


def test_stable_functions():
    x = jnp.asarray([-800.0, -30, 0, 25, 5000])
    np.testing.assert_allclose(ch.log1pexp(x), np.logaddexp(0, x), rtol=1e-15, atol=0)
    slopes = jax.vmap(jax.grad(ch.log1pexp))(x)
    np.testing.assert_allclose(slopes, scipy.special.expit(x), rtol=1e-14, atol=0)
    y = jnp.asarray([3000.0, 2998, -5000])
    softmax = scipy.special.softmax(y)
    np.testing.assert_allclose(jax.grad(ch.logsumexp)(y), softmax, rtol=0, atol=1e-15)
    assert jnp.all(jnp.isfinite(jax.jit(jax.hessian(ch.logsumexp))(y)))
    v = jnp.asarray([3.0, 4, 12])
    np.testing.assert_allclose(jax.grad(ch.norm)(v), v / 13, rtol=1e-15, atol=0)
    assert jnp.all(jax.grad(ch.norm)(0 * v) == 0) and jax.grad(ch.root)(-1.0) == 0


@pytest.mark.parametrize("n", [0, 1, 3.5])
def test_bessel(n):
    x = jnp.linspace(0.3, 12, 9)
    np.testing.assert_allclose(ch.bessel_j(n, x), scipy.special.jv(n, x), rtol=1e-14, atol=0)
    got = jax.jit(jax.vmap(jax.grad(jax.grad(lambda x: ch.bessel_j(n, x)))))(x)
    np.testing.assert_allclose(got, scipy.special.jvp(n, x, 2), rtol=0, atol=1e-12)


def test_tridiagonal_solve_of_numpy():
    parts = [jnp.asarray(draw.uniform(-1, 1, n)) for n in (11, 12, 11, 12)]
    parts[1] += 4

    def dense(lower, diag, upper, b):
        A = jnp.diag(diag) + jnp.diag(lower, -1) + jnp.diag(upper, 1)
        return jnp.linalg.solve(A, b)

    ours = jax.jacrev(ch.tridiagonal_solve, (0, 1, 2, 3))(*parts)
    theirs = jax.jacfwd(dense, (0, 1, 2, 3))(*parts)
    for got, want in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-12)


def test_reversible_chain():
    W = jnp.asarray(draw.normal(size=(6, 6)) / 2)
    state = jnp.ones(6), jnp.asarray(draw.normal(size=6))
    loss = lambda chain: lambda W, s: jnp.sum(jnp.stack(chain(W, s, 49)) ** 3)
    want = jax.grad(loss(ch.stored_chain), (0, 1))(W, state)
    for chain in (ch.checkpointed_chain, ch.reversible_chain):
        got = jax.grad(loss(chain), (0, 1))(W, state)
        for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
            np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-10)


def test_solves():
    kappa = jnp.asarray(draw.uniform(0.2, 1, (5, 5)))
    b = jnp.asarray(draw.normal(size=(5, 5)))

    def dense(kappa):
        apply = lambda u: ch.screened(kappa, u.reshape(5, 5)).ravel()
        return jnp.linalg.solve(jax.jacfwd(apply)(jnp.zeros(25)), b.ravel())

    ours = lambda k: ch.spd_solve(lambda u: ch.screened(k, u), b).ravel()
    second = lambda f: jax.hessian(lambda k: jnp.sum(jnp.sin(f(k))))
    for derive in (jax.jacrev, second):
        got, want = jax.jit(derive(ours))(kappa), jax.jit(derive(dense))(kappa)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)
    A = jnp.asarray(draw.normal(size=(9, 4)))
    c = jnp.asarray(draw.normal(size=9))
    f = lambda A: jnp.sum(jnp.sin(ch.lstsq(A, c)))
    g = lambda A: jnp.sum(jnp.sin(jnp.linalg.solve(A.T @ A, A.T @ c)))
    got, want = (jax.jit(jax.hessian(way))(A) for way in (f, g))
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("n, m, filling", [(1, 1, 1), (40, 12, 0.05), (12, 40, 0.2)])
def test_colouring_of_random_patterns(n, m, filling):
    mask = draw.random((m, n)) < filling
    A = jnp.asarray(mask * draw.normal(size=(m, n)))
    rows, cols = np.nonzero(mask)
    if not len(rows):
        rows, cols = np.array([0]), np.array([0])
    colours = ch.colour(rows, cols, n)
    for c in range(colours.max() + 1):
        assert mask[:, colours == c].sum(axis=1).max(initial=0) <= 1, (
            "two columns of one colour share a row"
        )
    f, x = lambda x: jnp.sin(A @ x) + A @ x**2, jnp.asarray(draw.normal(size=n))
    dense = np.asarray(jax.jit(jax.jacfwd(f))(x))[rows, cols]
    got = jax.jit(lambda x: ch.sparse_jacobian(f, x, rows, cols))(x)
    np.testing.assert_allclose(got, dense, rtol=0, atol=1e-12)


def test_band_of_width_two_needs_five_colours():
    rows, cols = ch.band(100, 2)
    assert ch.colour(rows, cols, 100).max() + 1 == 5
    assert np.all(abs(rows - cols) <= 2) and len(rows) == 494
    with pytest.raises(ValueError, match="one length"):
        ch.sparse_jacobian(jnp.sin, jnp.ones(3), np.arange(3), np.arange(2))
    with pytest.raises(ValueError, match="outside"):
        ch.sparse_jacobian(jnp.sin, jnp.ones(3), np.arange(3), np.arange(3) + 1)


def test_products():
    r = lambda x: jnp.sin(jnp.outer(x, x)).ravel()
    x, v = jnp.asarray(draw.normal(size=(2, 5)))
    J = jax.jit(jax.jacfwd(r))(x)
    product = jax.jit(ch.gauss_newton_product, static_argnums=0)(r, x, v)
    np.testing.assert_allclose(product, J.T @ J @ v, rtol=1e-12, atol=1e-12)
    loss = lambda x: jnp.sum(r(x) ** 3)
    got = jax.jit(ch.hessian_product, static_argnums=0)(loss, x, v)
    want = jax.jit(jax.hessian(loss))(x) @ v
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-11)


def test_the_names_of_chapter_2():
    ops = course.load("02_autodiff").ops
    for name in ch.CHAPTER_2:
        where = ops.linalg if name.startswith("linalg.") else ops
        assert callable(getattr(where, name.removeprefix("linalg.")))
