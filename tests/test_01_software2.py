"""Chapter 1's functions at potentials, grids and stencils that the chapter does not use."""

import jax
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


def test_states_and_density_against_numpy():
    x = np.linspace(-6, 6, 151)
    h, V = x[1] - x[0], hidden(x, 151)
    H = np.diag(V + 1 / h**2) - 0.5 / h**2 * (np.eye(151, k=1) + np.eye(151, k=-1))
    w, U = np.linalg.eigh(H)
    E, psi = chapter.ground_state(V, x)
    assert abs(E - w[0]) < 1e-10
    assert abs(chapter.density(V, x) - U[:, 0] ** 2 / h).max() < 1e-9
    three = (U[:, :3] ** 2).sum(axis=1) / h
    assert abs(chapter.density(V, x, filled=3) - three).max() < 1e-9
    assert abs(np.sum(psi**2) * h - 1) < 1e-12
    for filled in (-1, 0, 152):
        with pytest.raises(ValueError, match="filled"):
            chapter.density(V, x, filled=filled)


def test_newton_recovers_another_potential_on_a_grid_in_other_units():
    x = np.linspace(-4.5, 4.5, 151)
    V = hidden(x, 1)
    invert = jax.jit(lambda rho, x: chapter.newton_inverse(rho, x, 0 * x, steps=9)[-1])
    for length in (1.0, 1e3):  # the same problem, lengths in other units
        grid, energies = length * x, V / length**2
        rho = chapter.density(energies, grid)
        found = invert(rho, grid)
        assert chapter.potential_error(found, energies, rho) < 1e-8 / length**2
    for part in (0.9, 1 + 1e-5):  # not the density of one particle: there is no such potential
        assert np.isnan(invert(part * rho, grid)).all()


def test_newton_that_has_not_arrived_is_nan():
    x = np.linspace(-4.5, 4.5, 151)
    rho = chapter.density(hidden(x, 1), x)
    path = chapter.newton_inverse(rho, x, 0 * x, steps=2)
    assert np.isfinite(path[:-1]).all() and np.isnan(path[-1]).all()


def test_potential_error_ignores_a_constant_and_sees_the_rest():
    x = np.linspace(-4, 4, 151)
    V = hidden(x, 4)
    rho = chapter.density(V, x)
    assert chapter.potential_error(V + 3.0, V, rho) < 1e-12
    assert chapter.potential_error(V + 0.01 * np.sin(x), V, rho) > 1e-3
    assert np.isnan(chapter.potential_error(V, V, rho * np.nan))


def test_descent_finds_the_minimum_of_a_quadratic_or_says_that_it_has_not():
    A = np.diag([1.0, 3.0])
    loss = lambda w: 0.5 * w @ A @ w - w.sum()
    search = jax.jit(lambda w, rate: chapter.descend(loss, w, rate, 400)[-1])
    found = search(np.zeros(2), 0.3)
    assert np.abs(found - np.array([1, 1 / 3])).max() < 1e-12
    assert np.isnan(search(np.zeros(2), 0.01)).all()
    assert np.isnan(search(np.zeros(2), 0.9)).all()
    assert np.abs(search(found, 0.3) - found).max() < 1e-12


@pytest.mark.parametrize(
    "grid",
    [
        np.linspace(5, -5, 51),
        np.linspace(-5, 5, 51) ** 3,
        np.linspace(-5, 5, 51).astype("float32"),
        np.arange(51),
        np.zeros(51),
        np.array([np.nan] * 51),
        np.linspace(-1, 1, 2),
        np.array([]),
        np.eye(5),
    ],
)
def test_a_grid_that_is_none_is_refused(grid):
    with pytest.raises(ValueError, match="grid"):
        chapter.density(np.zeros(grid.shape), grid)


@pytest.mark.parametrize("V", [np.ones(1), np.float64(1), np.ones(50), 1j * np.ones(51)])
def test_a_potential_of_another_shape_or_kind_is_refused(V):
    with pytest.raises(ValueError, match="real value"):
        chapter.density(V, np.linspace(-5, 5, 51))


def test_an_uneven_grid_gives_nan_where_it_is_traced():
    spacing = jax.jit(chapter.spacing)
    assert abs(spacing(np.linspace(-5, 5, 51)) - 0.2) < 1e-12
    assert np.isnan(spacing(np.linspace(5, -5, 51)))


def test_levels_nearer_than_rounding_have_no_density():
    x = np.linspace(-8, 8, 151)
    assert np.isnan(chapter.density(8 * (abs(x) - 5) ** 2, x)).all()
