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
    assert abs(jax.grad(jax.grad(jax.grad(square_root)))(2.0) - 3 / 8 * 2.0**-2.5) < 1e-10
    a = jnp.linspace(1, 30, 7)
    slopes = jax.vmap(jax.grad(square_root))(a)
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
    assert jnp.isnan(ch.fixed_point(lambda x, t: 2 * x + t, 1.0, 1.0, max_steps=50)), (
        "no silent answer without convergence"
    )


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


@pytest.mark.parametrize("e", [0.01, 0.3, 0.93])
def test_kepler(e):
    M = 2.2
    E = ch.anomaly(e, M)
    assert abs(E - e * np.sin(E) - M) < 1e-11
    assert abs(jax.grad(ch.anomaly, 0)(e, M) - np.sin(E) / (1 - e * np.cos(E))) < 1e-11
    second = jax.jacfwd(jax.grad(ch.anomaly, 1), 1)(e, M)
    assert abs(second + e * np.sin(E) / (1 - e * np.cos(E)) ** 3) < 1e-9


def test_stable_functions():
    x = jnp.asarray([-800.0, -30, 0, 25, 5000])
    np.testing.assert_allclose(ch.log1pexp(x), np.logaddexp(0, x), rtol=1e-15, atol=0)
    slopes = jax.vmap(jax.grad(ch.log1pexp))(x)
    np.testing.assert_allclose(slopes, scipy.special.expit(x), rtol=1e-14, atol=0)
    y = jnp.asarray([3000.0, 2998, -5000])
    softmax = scipy.special.softmax(y)
    np.testing.assert_allclose(jax.grad(ch.logsumexp)(y), softmax, rtol=0, atol=1e-15)
    assert jnp.all(jnp.isfinite(jax.hessian(ch.logsumexp)(y)))
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
    for derive in (jax.jacrev, jax.jacfwd, second):
        got, want = jax.jit(derive(ours))(kappa), jax.jit(derive(dense))(kappa)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-9)
    A = jnp.asarray(draw.normal(size=(9, 4)))
    c = jnp.asarray(draw.normal(size=9))
    f = lambda A: jnp.sum(jnp.sin(ch.lstsq(A, c)))
    g = lambda A: jnp.sum(jnp.sin(jnp.linalg.solve(A.T @ A, A.T @ c)))
    np.testing.assert_allclose(jax.hessian(f)(A), jax.hessian(g)(A), rtol=0, atol=1e-9)


@pytest.mark.parametrize("n, m, filling", [(1, 1, 1), (30, 30, 0.1), (40, 12, 0.05), (12, 40, 0.2)])
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
    dense = np.asarray(jax.jacfwd(f)(x))[rows, cols]
    np.testing.assert_allclose(ch.sparse_jacobian(f, x, rows, cols), dense, rtol=0, atol=1e-12)


def test_band_of_width_two_needs_five_colours():
    rows, cols = ch.band(100, 2)
    assert ch.colour(rows, cols, 100).max() + 1 == 5
    assert np.all(abs(rows - cols) <= 2) and len(rows) == 494
    with pytest.raises(ValueError, match="one length"):
        ch.sparse_jacobian(jnp.sin, jnp.ones(3), np.arange(3), np.arange(2))


def test_products():
    r = lambda x: jnp.sin(jnp.outer(x, x)).ravel()
    x, v = jnp.asarray(draw.normal(size=(2, 5)))
    J = jax.jacfwd(r)(x)
    product = ch.gauss_newton_product(r, x, v)
    np.testing.assert_allclose(product, J.T @ J @ v, rtol=1e-12, atol=1e-12)
    loss = lambda x: jnp.sum(r(x) ** 3)
    np.testing.assert_allclose(
        ch.hessian_product(loss, x, v), jax.hessian(loss)(x) @ v, rtol=1e-10, atol=1e-11
    )


def test_the_names_of_chapter_2():
    ops = course.load("02_autodiff").ops
    for name in ch.CHAPTER_2:
        where = ops.linalg if name.startswith("linalg.") else ops
        assert callable(getattr(where, name.removeprefix("linalg.")))
