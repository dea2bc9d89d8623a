"""The named functions of chapter 9 at couplings, sizes, matrices that the chapter does not use."""

import functools

import numpy as np
import pytest
from conftest import lazily

chapter = lazily("09_trg")


@functools.cache
def compiled(name, *sizes):
    """A named function of the coupling, compiled once for all couplings of a size."""
    f = getattr(chapter, name)
    return chapter.jax.jit(lambda K: f(K, *sizes))


@pytest.mark.parametrize("K", [-0.9, -0.2, 0.0, 0.15, 0.62, 1.3])
def test_sixteen_sites_are_exact(K):
    exact = chapter.enumerate_ising(4, K) / 16
    assert abs(compiled("lnz", 4, 4)(K) - exact) < 1e-11
    assert abs(compiled("lnz_plain", 4, 4)(K) - exact) < 1e-11


def test_energy_of_sixteen_sites():
    h = 1e-3
    f = lambda K: chapter.enumerate_ising(4, K) / 16
    u = -sum(
        w * (f(0.37 + k * h) - f(0.37 - k * h)) for k, w in ((1, 3 / 4), (2, -3 / 20), (3, 1 / 60))
    )
    assert abs(compiled("energy", 4, 4)(0.37) - u / h) < 1e-9


@functools.cache
def expansion():
    """ln Z, its first and its second derivative on 2^22 sites, in one program."""
    return chapter.jax.jit(lambda K: chapter.taylor(lambda K: chapter.lnz(K, 10, 22), K))


@pytest.mark.parametrize("K", [0.2, 0.33, 0.55, 0.8])
def test_thermodynamics_against_onsager(K):
    lnz, first, second = expansion()(K)
    assert abs(lnz / chapter.onsager(K) - 1) < 1e-5
    assert abs(first + chapter.onsager_energy(K)) < 5e-4
    assert abs(K**2 * second / chapter.onsager_heat(K) - 1) < 5e-3


def test_derivatives_at_zero_coupling():
    lnz, first, second = expansion()(0.0)
    assert abs(lnz - np.log(2)) < 1e-12 and abs(first) < 1e-12 and abs(second - 2) < 1e-9


def test_exact_heat_at_its_pole_is_nan():
    assert np.isnan(chapter.onsager_heat(chapter.K_C))
    assert np.isnan(chapter.onsager_heat(chapter.K_C + 3e-5, 1e-5))
    assert np.isfinite(chapter.onsager_heat(chapter.K_C + 6e-4))


def test_batches_strong_coupling_and_nan():
    jnp, jax = chapter.jnp, chapter.jax
    K = jnp.array([0.1, 0.4, 0.7])
    energy, lnz = compiled("energy", 4, 4), compiled("lnz", 4, 4)
    np.testing.assert_allclose(jax.vmap(lnz)(K), [lnz(k) for k in K], rtol=1e-12)
    assert abs(lnz(60.0) - 120 - np.log(2) / 16) < 1e-10
    assert abs(energy(60.0) + 2) < 1e-9
    assert jnp.isnan(lnz(jnp.nan)) and jnp.isnan(energy(jnp.nan))
    assert lnz(np.float32(0.5)).dtype == jnp.float64


@pytest.mark.parametrize(
    "arguments", [(0.4, 1, 8), (0.4, 4, 1), (0.4, 2.5, 8), (0.4 + 0.1j, 4, 8), ([0.4, 0.5], 4, 8)]
)
def test_refusals(arguments):
    with pytest.raises(ValueError):
        chapter.lnz(*arguments)


def test_a_lopsided_tensor_is_nan():
    jnp, A = chapter.jnp, chapter.ising_tensor(0.4)
    assert jnp.isfinite(chapter.contract_mirror(A, jnp.ones(2), 4, 4))
    for index in ((0, 1, 1, 0), (0, 1, 0, 1)):
        B = A.at[index].multiply(1.01)
        assert jnp.isnan(chapter.contract_mirror(B, jnp.ones(2), 4, 4))
    for z in ([1.0, 2.5], [1.0, np.nan]):
        assert jnp.isnan(chapter.contract_mirror(A, jnp.array(z), 4, 4))
    for z in (jnp.ones(1), jnp.ones(4)):
        with pytest.raises(ValueError, match="sign"):
            chapter.contract_mirror(A, z, 4, 4)
    with pytest.raises(ValueError):
        chapter.contract(jnp.ones((2, 3, 2, 3)), 4, 6, chapter.lapack_svd)


@pytest.mark.parametrize("scale", [1e-80, 1e100])
def test_the_scale_of_a_tensor_is_a_number_to_add(scale):
    jnp, A = chapter.jnp, chapter.ising_tensor(0.4)
    for f in (
        lambda A: chapter.contract_mirror(A, jnp.ones(2), 4, 4),
        lambda A: chapter.contract(A, 4, 4, chapter.lapack_svd),
    ):
        assert abs(f(scale * A) - f(A) - np.log(scale)) < 1e-12


@pytest.mark.parametrize("shape, dtype", [((5, 3), float), ((3, 3), complex), ((2, 3, 3), float)])
def test_only_real_square_matrices_are_decomposed(shape, dtype):
    with pytest.raises(ValueError, match="a real square matrix"):
        chapter.safe_svd(chapter.jnp.ones(shape, dtype))


@pytest.mark.parametrize("chi, width", [(8, 5), (8, 10), (8, 0), (5, 2)])
def test_widths_of_the_filter_are_even_and_fit(chi, width):
    with pytest.raises(ValueError, match="even"):
        chapter.rg_step(chapter.jnp.ones((chi,) * 4), width)


def test_taylor():
    np.testing.assert_allclose(
        chapter.taylor(lambda x: chapter.jnp.exp(2 * x), 0), (1, 2, 4), rtol=1e-12
    )


def symmetric(n, seed):
    A = np.random.default_rng(seed).normal(size=(n, n))
    return chapter.jnp.asarray(A + A.T)


@functools.cache
def projector_loss():
    """f(levels, t), a loss of the leading half, which does not feel bases of degenerate levels:
    (f, its slope, its second derivative)."""
    jnp, jax = chapter.jnp, chapter.jax
    Q, V, M = jnp.linalg.qr(symmetric(4, 1))[0], symmetric(4, 2), symmetric(4, 3)

    def f(levels, t):
        d, U = chapter.eigh(Q @ jnp.diag(levels) @ Q.T + t * V)
        big = U * (1 / (1 + jnp.exp(-3 * d)))
        return jnp.sum((big @ U.T) * M)

    def all_three(levels, t):
        g = lambda t: f(levels, t)
        return g(t), chapter.slope(g)(t), jax.grad(jax.grad(g))(t)

    return jax.jit(all_three)


@pytest.mark.parametrize("levels", [[-2.0, -1, 0.5, 3], [1.0, 1, 0, 0], [2.0, 2, 2, -1]])
def test_eigh_of_a_projector_loss(levels):
    f = projector_loss()
    _, first, second = f(np.array(levels), 0.0)
    want = chapter.difference(lambda t: f(np.array(levels), t)[0], 0.0, 1e-2)
    assert abs(first - want) < 1e-6 or levels != [-2.0, -1, 0.5, 3]
    assert np.isfinite(second)


def test_eigh_agrees_with_that_of_jax():
    jnp, jax = chapter.jnp, chapter.jax
    A, V, M = (symmetric(6, seed) for seed in (4, 5, 6))

    def f(solver, t):
        d, U = solver(A + t * V)
        return jnp.sum(jnp.sin(jnp.arange(36.0)).reshape(6, 6) * (U.T @ M @ U) ** 2) + d @ d

    plain = lambda t: f(lambda A: tuple(jnp.linalg.eigh(A)), t)
    ours = lambda t: f(chapter.eigh, t)
    both = lambda g: jax.jit(lambda t: (chapter.slope(g)(t), jax.grad(jax.grad(g))(t)))
    np.testing.assert_allclose(both(ours)(0.1), both(plain)(0.1), rtol=1e-6)
    batch = jax.vmap(lambda A: chapter.eigh(A)[0])(jnp.stack([A, V]))
    np.testing.assert_allclose(batch[1], np.linalg.eigvalsh(V), rtol=1e-10)


def test_svd_rule_on_a_general_matrix():
    jnp, r = chapter.jnp, np.random.default_rng(7)
    A, V, M = (jnp.asarray(r.normal(size=(5, 5))) for _ in range(3))

    @chapter.jax.jit
    def f(t):
        U, s, W = chapter.safe_svd(A + t * V)
        return jnp.sum((U[:, :3] * jnp.sqrt(s[:3])) @ W[:, :3].T * M)

    assert abs(chapter.slope(f)(0.0) - chapter.difference(f, 0.0, 1e-3)) < 1e-8
    assert abs(chapter.jax.grad(f)(0.0) - chapter.slope(f)(0.0)) < 1e-10


def test_inverses():
    x = chapter.jnp.array([1e-3, -2.0, 5e5])
    for inverse in (chapter.flat_inverse, chapter.lorentz_inverse):
        np.testing.assert_allclose(inverse(x, 1e-8), 1 / x, rtol=1e-9)
        assert inverse(chapter.jnp.array(0.0), 1e-8) == 0
        assert chapter.jnp.isfinite(inverse(chapter.jnp.array(0.0), 0.0))
    assert chapter.slope(lambda x: chapter.flat_inverse(x, 1e-8))(0.0) == 0


def test_corner_transfer_matrix_elsewhere():
    both = chapter.jax.jit(lambda K: (chapter.ctm_energy(K, 7), chapter.ctm_heat(K, 7)))
    for K in (0.22, 0.36):
        u, C = both(K)
        assert abs(u - chapter.onsager_energy(K)) < 1e-8
        assert abs(C / chapter.onsager_heat(K) - 1) < 1e-6


def test_what_has_not_converged_is_nan():
    jnp = chapter.jnp
    x, count = chapter.iterate(lambda x: 0.9 * x + 1, jnp.array(0.0), 1e-12, 20)
    assert jnp.isnan(x) and count == 20
    x, count = chapter.iterate(lambda x: 0.9 * x + 1, jnp.array(0.0), 1e-12, 1000)
    assert abs(x - 10) < 1e-10 and count < 1000


def test_hard_squares():
    """On 16 sites: a count, and a density which ends at one half."""
    jax = chapter.jax
    both = jax.jit(lambda x: jax.jvp(lambda x: chapter.hard_squares_lnz(x, 4, 4), (x,), (1.0,)))
    assert abs(16 * both(0.0)[0] - np.log(chapter.count_matrices(4))) < 1e-10
    assert 0.45 < both(4.0)[1] < 0.5
    for x in (20.0, 40.0, 200.0):
        lnz, density = both(x)
        assert abs(lnz - x / 2 - np.log(2) / 16) < 1e-7 and abs(density - 0.5) < 1e-7


def test_kaufman():
    for K in (0.3, 0.4406867935, 0.7):
        assert abs(chapter.kaufman(4, K) - chapter.enumerate_ising(4, K)) < 1e-9


def test_filter_and_block():
    jnp = chapter.jnp
    A = chapter.sectors(chapter.ising_tensor(0.42), 4)
    D = chapter.double(A)
    infidelity = chapter.jax.jit(chapter.infidelity)
    assert abs(infidelity(jnp.eye(4), D)) < 1e-12
    keep = jnp.eye(4)[:, jnp.array([0, 2])]
    assert abs(infidelity(3 * keep, D)) < 1e-12
    jax = chapter.jax
    p = jax.jit(chapter.isometry, static_argnums=1)(A, 4)
    np.testing.assert_allclose(jnp.einsum("abi,abj->ij", p, p), np.eye(4), atol=1e-12)
    block = jax.jit(chapter.block)
    whole = block(A, p)
    closed = jnp.einsum("xaya->xy", whole)
    assert closed.shape == (4, 4)
    pairs = block(chapter.filtered(A, jnp.eye(4)), p)
    np.testing.assert_allclose(pairs, whole, rtol=1e-12, atol=1e-14)


def test_signs_are_undone():
    jnp, r = chapter.jnp, np.random.default_rng(8)
    A = jnp.asarray(r.uniform(0.1, 1, size=(6,) * 4))
    s = jnp.asarray(r.choice([-1.0, 1.0], size=6))
    turned = jnp.einsum("abcd,a,b,c,d->abcd", A, s, s, s, s)
    d = chapter.jax.jit(chapter.tensor_signs)(turned, A)
    back = jnp.einsum("abcd,a,b,c,d->abcd", turned, d, d, d, d)
    even = np.ix_(*[range(3)] * 4)
    np.testing.assert_allclose(back[even], A[even], rtol=1e-12)


def test_bfgs_finds_a_minimum():
    jnp = chapter.jnp
    f = lambda x: (x[0] - 1) ** 2 + 30 * (x[1] - x[0] ** 2) ** 2 + 0.5
    x = chapter.jax.jit(lambda x: chapter.bfgs(f, x, 80))(jnp.array([-1.0, 1.0]))
    np.testing.assert_allclose(x, [1, 1], atol=1e-5)


@pytest.mark.parametrize("inside", [True, False])
def test_critical_coupling_outside_its_bracket_is_nan(inside, monkeypatch):
    K_c = chapter.K_C * (1 + (3e-5 if inside else 3e-4))
    end = lambda K: np.full((1, 1, 1, 1), 1.0 if K_c > K else 0.35)
    names = chapter.critical_coupling.__globals__
    monkeypatch.setitem(names, "progress", lambda items, label: items)
    monkeypatch.setitem(names, "flow", lambda K, *sizes: [end(K)])
    found = chapter.critical_coupling(4, 2, 3, halvings=20)
    assert abs(found / K_c - 1) < 1e-9 if inside else np.isnan(found)


def test_levels_at_the_cut():
    """The first cut: its matrix is known, an even and an odd block of rank one each."""
    t = np.tanh(0.4)
    kept, lost = chapter.cut_levels(0.4, 2, 0)
    levels = np.linalg.eigvalsh([[1, t], [t, t * t]]), np.linalg.eigvalsh([[t, t], [t, t]])
    moduli = sorted(np.abs(np.concatenate(levels)))[::-1]
    np.testing.assert_allclose([kept, lost], np.divide(moduli[1:3], moduli[0]), atol=1e-12)
