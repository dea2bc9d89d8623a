"""Chapter 1's functions at potentials, grids and stencils that the chapter does not use."""

import numpy as np
import pytest
from conftest import lazily

chapter = lazily("01_software2")


def hidden(x, seed):
    """A random smooth potential that binds."""
    r = np.random.default_rng(seed)
    depths, centres = r.uniform(-2, 2, (2, 3))
    wells = depths @ np.exp(-((x - centres[:, None]) ** 2))
    return r.uniform(0.3, 0.8) * x**2 + wells


@pytest.mark.parametrize("n", [101, 200])
def test_ground_state_against_numpy(n):
    x = np.linspace(-6, 6, n)
    h, V = x[1] - x[0], hidden(x, n)
    H = np.diag(V + 1 / h**2) - 0.5 / h**2 * (np.eye(n, k=1) + np.eye(n, k=-1))
    w, U = np.linalg.eigh(H)
    E, psi = chapter.ground_state(V, x)
    assert abs(E - w[0]) < 1e-10
    assert abs(chapter.density(V, x) - U[:, 0] ** 2 / h).max() < 1e-9
    assert abs(np.sum(psi**2) * h - 1) < 1e-12


@pytest.mark.parametrize("n, seed", [(151, 1), (301, 3)])
def test_newton_recovers_other_potentials(n, seed):
    x = np.linspace(-4.5, 4.5, n)
    V = hidden(x, seed)
    rho = chapter.density(V, x)
    found = chapter.newton_inverse(rho, x, 0 * x, steps=9)[-1]
    assert chapter.potential_error(found, V, rho) < 1e-8


def test_potential_error_ignores_a_constant_and_sees_the_rest():
    x = np.linspace(-4, 4, 161)
    V = hidden(x, 4)
    rho = chapter.density(V, x)
    assert chapter.potential_error(V + 3.0, V, rho) < 1e-12
    assert chapter.potential_error(V + 0.01 * np.sin(x), V, rho) > 1e-3


def test_descent_finds_the_minimum_of_a_quadratic():
    A = np.diag([1.0, 3.0])
    found = chapter.descend(lambda w: 0.5 * w @ A @ w - w.sum(), np.zeros(2), 0.3, 400)
    assert np.allclose(found, [1, 1 / 3], rtol=0, atol=1e-12)
