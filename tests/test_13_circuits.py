"""Chapter 13: its circuit, reversible rule and shift rule at sizes and angles that the chapter does not use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import course

ch = course.load("13_circuits")
draw = np.random.default_rng(20261124)
SIZES = [(2, 1), (2, 2), (2, 7), (3, 1), (3, 5), (4, 3), (5, 2), (6, 4), (8, 2)]


def angles(n, d):
    return jnp.asarray(draw.uniform(-7, 7, n * (3 * d + 1)))


def dense(theta, n, d):
    """State (2^n,) after the circuit, by index arithmetic on bits: no code in common with the chapter."""
    psi, t, bit = np.zeros(2**n, complex), iter(np.asarray(theta)), lambda q: 1 << (n - 1 - q)
    psi[0], every = 1, np.arange(2**n)
    for k in range(d + 1):
        for q in range(n):
            for s in "XZ" if k == 0 else "ZX" if k == d else "ZXZ":
                a = next(t)
                other = psi[every ^ bit(q)] if s == "X" else psi * np.where(every & bit(q), -1, 1)
                psi = np.cos(a / 2) * psi - 1j * np.sin(a / 2) * other
        for i in range(n if k < d else 0):
            psi = psi[np.where(every & bit(i), every ^ bit((i + 1) % n), every)]
    return psi


def hamiltonian(n):
    on = lambda m, i: np.kron(np.kron(np.eye(2**i), m), np.eye(2 ** (n - 1 - i)))
    return sum(on(m, i) @ on(m, (i + 1) % n) for m in (ch.X, ch.Y, ch.Z) for i in range(n))


@pytest.mark.parametrize("n, d", SIZES)
def test_energy_and_gradient(n, d):
    theta, H = angles(n, d), hamiltonian(n)
    psi = dense(theta, n, d)
    np.testing.assert_allclose(ch.apply_circuit(theta, ch.zero_state(n)), psi, atol=1e-12)
    value, gradient = ch.energy_and_grad(theta, n, d)
    assert (
        abs(value - np.vdot(psi, H @ psi).real) < 1e-11
        and abs(ch.energy(theta, n, d) - value) < 1e-12
    )
    for k in draw.integers(0, theta.size, 5):
        up, down = (dense(theta.at[k].add(s), n, d) for s in (np.pi / 2, -np.pi / 2))
        assert abs(gradient[k] - (np.vdot(up, H @ up) - np.vdot(down, H @ down)).real / 2) < 1e-10


def test_any_state_and_its_cotangent():
    n, d, theta = 4, 3, angles(4, 3)
    psi, phi = draw.normal(size=(2, 16)) + 1j * draw.normal(size=(2, 16))
    f = lambda run: (
        lambda t, re, im: (lambda p: jnp.vdot(phi, p).imag + jnp.sum(abs(p) ** 4))(
            run(t, re + 1j * im)
        )
    )
    plain = lambda t, p: ch.run_circuit(t, p, ch.rotate_plain, ch.ring_plain)
    ours, stored = (
        jax.jit(jax.grad(f(run), (0, 1, 2)))(theta, psi.real, psi.imag)
        for run in (ch.apply_circuit, plain)
    )
    for a, b in zip(ours, stored):
        np.testing.assert_allclose(a, b, atol=1e-10)


@pytest.mark.parametrize("n", range(2, 14))
def test_ring_of_any_length(n):
    psi = jnp.asarray(draw.normal(size=2**n))
    source, image = ch.ring_permutations(n)
    np.testing.assert_array_equal(ch.ring(psi)[image], psi)
    np.testing.assert_array_equal(ch.ring(psi), ch.ring_plain(psi))
    assert sum(ch.group_sizes(n)) == n


@pytest.mark.parametrize("n", [2, 3, 5, 9])
def test_rotations_by_real_groups_and_phases(n):
    psi, (a, b, c) = (
        draw.normal(size=2**n) + 1j * draw.normal(size=2**n),
        draw.uniform(-9, 9, (3, n)),
    )
    want = ch.rotate_plain(jnp.asarray(psi), a, b, c)
    for rotate in (ch.rotate_fused, ch.rotate_groups, ch.rotate):
        np.testing.assert_allclose(rotate(jnp.asarray(psi), a, b, c), want, atol=1e-13)
    x, l = ch.split(want), ch.split(ch.heisenberg(want))
    back = ch.unrotate(x, l, a, b, c)[0]
    np.testing.assert_allclose(ch.joined(back), psi, atol=1e-13)


def test_memory_is_flat():
    need = [
        ch.temporary_mib(ch.energy_and_grad, jax.ShapeDtypeStruct((9 * (3 * d + 1),), float), 9, d)[
            0
        ]
        for d in (50, 5000)
    ]
    assert abs(need[1] - need[0]) < 0.1 and need[1] < 1


def test_batches_and_single_precision():
    theta = jnp.asarray(draw.normal(size=(3, 5 * 7)))
    both = jax.vmap(lambda t: ch.energy_and_grad(t, 5, 2))(theta)
    for k in range(3):
        np.testing.assert_allclose(both[1][k], ch.energy_and_grad(theta[k], 5, 2)[1], atol=1e-12)
    single = ch.energy_and_grad(theta[0].astype(jnp.float32), 5, 2)
    assert single[1].dtype == jnp.float32 and abs(single[1] - both[1][0]).max() < 1e-4


def test_parameter_shift_of_any_shape():
    f = lambda t: jnp.prod(jnp.cos(t)) + jnp.sum(jnp.sin(t))
    t = jnp.asarray(draw.normal(size=(2, 3)))
    np.testing.assert_allclose(ch.parameter_shift(f, t), jax.grad(f)(t), atol=1e-12)
    np.testing.assert_allclose(ch.parameter_shift(f, np.array(t)), jax.grad(f)(t), atol=1e-12)


@pytest.mark.parametrize("R", [1, 2, 5])
def test_general_shift(R):
    c = draw.normal(size=(2, R + 1))
    f = lambda t: sum(c[0, k] * jnp.cos(k * t) + c[1, k] * jnp.sin(k * t) for k in range(R + 1))
    assert abs(ch.general_shift(f, 0.7, R) - jax.grad(f)(0.7)) < 1e-11


@pytest.mark.parametrize(
    "n, exact",
    [(4, -8), (6, -11.2111025510), (8, -14.6043736357), (10, -18.0617854180), (12, -21.5495636698)],
)
def test_exact_energies(n, exact):
    assert abs(ch.ground_energy(ch.heisenberg, n) - exact) < 1e-9


@pytest.mark.parametrize("R, energy", [(1.4 / 1.0, -1.1373), (0.735 / 0.529177210903, -1.137306)])
def test_hydrogen(R, energy):
    assert abs(np.linalg.eigvalsh(ch.hydrogen(R))[0] - energy) < 5e-5


def test_metric_is_that_of_fidelities():
    theta, step = angles(3, 2), 1e-3 * draw.normal(size=21)
    p, q = (dense(theta + s * step, 3, 2) for s in (-0.5, 0.5))
    assert abs((1 - abs(np.vdot(p, q)) ** 2) / (step @ ch.metric(theta, 3) @ step) - 1) < 1e-4


def test_bars_and_stripes():
    assert [len(ch.bars_and_stripes(m)) for m in (2, 3, 4)] == [6, 14, 30]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: ch.energy(jnp.zeros(9), 2, 1),
        lambda: ch.energy(jnp.zeros(4), 1, 1),
        lambda: ch.energy(jnp.zeros(2), 2, 0),
        lambda: ch.energy_and_grad(jnp.zeros((2, 4)), 2, 1),
        lambda: ch.apply_circuit(jnp.zeros(8), jnp.zeros(5)),
        lambda: ch.apply_circuit(jnp.zeros(9), jnp.zeros(4)),
        lambda: ch.energy(jnp.zeros(8, int), 2, 1),
    ],
)
def test_bad_input_gets_a_clear_error(bad):
    with pytest.raises(ValueError, match="angles|amplitudes"):
        bad()
