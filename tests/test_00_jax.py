"""Chapter 0's functions at sizes, temperatures and types that the chapter does not use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import lazily

chapter = lazily("00_jax")


@pytest.mark.parametrize("rows, columns", [(4, 6), (10, 2)])
def test_all_sweeps_are_one(rows, columns):
    r = np.random.default_rng(rows)
    s, u = r.choice([-1, 1], (rows, columns)), r.random((rows, columns))
    for beta in (0.0, 0.35, 1.2):
        slow = chapter.sweep_loop(s, beta, u)
        assert np.array_equal(chapter.sweep_numpy(s, beta, u), slow)
        assert np.array_equal(chapter.sweep(jnp.asarray(s), beta, jnp.asarray(u)), slow)


def test_what_a_sweep_cannot_do_is_refused():
    with pytest.raises(ValueError, match="even sides"):
        chapter.sweep(jnp.ones((5, 4)), 0.4, jnp.ones((5, 4)))
    with pytest.raises(ValueError, match="one number a site"):
        chapter.sweep(jnp.ones((4, 4)), 0.4, jnp.ones(4))
    with pytest.raises(TypeError, match="signed type"):
        chapter.sweep(jnp.ones((4, 4), dtype=bool), 0.4, jnp.ones((4, 4)))


def test_energy_and_field_by_hand():
    s = np.random.default_rng(1).choice([-1, 1], (4, 6))
    bonds = field = 0
    for i in range(4):
        for j in range(6):
            bonds += s[i, j] * (s[(i + 1) % 4, j] + s[i, (j + 1) % 6])
    assert abs(chapter.energy(jnp.asarray(s)) + bonds / 24) < 1e-12
    field = s[0, 3] + s[2, 3] + s[1, 2] + s[1, 4]
    assert chapter.neighbours(jnp.asarray(s))[1, 3] == field


def test_kaufman_of_another_lattice_and_the_infinite_one():
    bits = (np.arange(2**9)[:, None] >> np.arange(9)) & 1
    S = (2 * bits - 1).reshape(-1, 3, 3)
    E = -np.sum(S * (np.roll(S, 1, 1) + np.roll(S, 1, 2)), axis=(1, 2))
    for beta in (0.2, 0.7):
        assert abs(chapter.log_Z(beta, 3) - np.log(np.sum(np.exp(-beta * E)))) < 1e-12
    for beta in (0.999e-3, 100.1, -0.2):
        assert np.isnan(chapter.log_Z(beta, 3)) and np.isnan(chapter.exact_energy(beta, 3))
    assert np.isnan(chapter.exact_energy(jnp.float32(40), 3))  # would be half of the right one
    slow = np.pi / 2 * (np.arange(4000) + 0.5) / 4000  # Onsager's integral by midpoints
    beta = 1 / 3.0
    k = 2 * np.sinh(2 * beta) / np.cosh(2 * beta) ** 2
    elliptic = np.mean(np.pi / 2 / np.sqrt(1 - (k * np.sin(slow)) ** 2))
    factor = 2 / np.pi * (2 * np.tanh(2 * beta) ** 2 - 1) * elliptic
    onsager = -1 / np.tanh(2 * beta) * (1 + factor)
    assert abs(chapter.exact_energy(beta, 64) - onsager) < 1e-9


def test_thermometer():
    e = np.array([-1.99, -1.7, -1.42, -0.8, -0.1, -2.2, -2.0, 0.0, 0.3])
    T = jax.jit(jax.vmap(lambda x: chapter.temperature_of(x, 8)))(e)
    assert np.all(np.isnan(T[5:])) and np.all(np.diff(T[:5]) > 0)
    back = jax.vmap(lambda x: chapter.exact_energy(1 / x, 8))(T[:5])
    np.testing.assert_allclose(back, e[:5], rtol=0, atol=1e-8)


def test_start_and_chain():
    key = jax.random.key(3)
    assert jnp.all(chapter.start(key, 0.5, 6) == 1)
    hot = chapter.start(key, 0.4, 6)
    assert jnp.all(jnp.abs(hot) == 1) and jnp.any(hot == -1)
    last, seen = chapter.chain(key, hot, 0.3, 4)
    assert seen["energy"].shape == (4,) and seen["energy"][-1] == chapter.energy(last)
    assert abs(seen["order"][-1] - abs(np.mean(np.asarray(last, dtype=float)))) < 1e-15
    assert seen["order"].dtype == seen["energy"].dtype == np.float64


def test_mean_and_error():
    x = np.random.default_rng(2).normal(size=(3, 9))
    mean, error = chapter.mean_and_error({"x": jnp.asarray(x)})
    np.testing.assert_allclose(mean["x"], x.mean(axis=1), rtol=0, atol=1e-14)
    expected = x.std(axis=1, ddof=1) / 3
    np.testing.assert_allclose(error["x"], expected, rtol=0, atol=1e-14)


def test_complaint_wants_an_error():
    assert chapter.complaint(lambda: 1 / 0).startswith("ZeroDivisionError")
    with pytest.raises(AssertionError, match="nothing was raised"):
        chapter.complaint(lambda: 1)
