"""Chapter 13: its circuit and its rules of derivatives, at sizes and angles it does not use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import lazily
from warm import compile_quickly

compile_quickly()
jax.config.update("jax_enable_x64", True)
ch = lazily("13_circuits")
draw = np.random.default_rng(20261124)
SIZES = [(2, 1), (2, 7), (3, 5), (5, 3), (9, 2)]


def angles(n, d):
    return jnp.asarray(draw.uniform(-7, 7, n * (3 * d + 1)))


def dense(theta, n, d):
    """State (2^n,) after the circuit, by arithmetic on bits: no code in common with the chapter."""
    angles = iter(np.asarray(theta))
    bits = [1 << (n - 1 - q) for q in range(n)]
    every = np.arange(2**n)
    psi = np.zeros(2**n, complex)
    psi[0] = 1
    for k in range(d + 1):
        for bit in bits:
            for s in "XZ" if k == 0 else "ZX" if k == d else "ZXZ":
                a = next(angles)
                turned = psi[every ^ bit] if s == "X" else psi * np.where(every & bit, -1, 1)
                psi = np.cos(a / 2) * psi - 1j * np.sin(a / 2) * turned
        for control, target in zip(bits, bits[1:] + bits[:1], strict=True) if k < d else ():
            psi = psi[np.where(every & control, every ^ target, every)]
    return psi


def on(m, i, n):
    """The matrix (2^n, 2^n) of `m` (2, 2) on qubit `i`."""
    return np.kron(np.kron(np.eye(2**i), m), np.eye(2 ** (n - 1 - i)))


def hamiltonian(n):
    """The Heisenberg ring as a matrix (2^n, 2^n)."""
    paulis = (ch.X, ch.Y, ch.Z)
    return sum(on(m, i, n) @ on(m, (i + 1) % n, n) for m in paulis for i in range(n))


def differ(got, want):
    """The largest difference of two arrays of equal shape."""
    assert np.shape(got) == np.shape(want)
    return abs(np.asarray(got) - np.asarray(want)).max()


@pytest.mark.parametrize("n, d", SIZES)
def test_energy_and_gradient(n, d):
    theta, H = angles(n, d), hamiltonian(n)
    psi = dense(theta, n, d)
    value, gradient = ch.energy_and_grad(theta, n)
    assert abs(value - np.vdot(psi, H @ psi).real) < 1e-11
    assert abs(ch.plain_energy(theta, n, d) - value) < 1e-11
    for k in draw.integers(0, theta.size, 5):
        up, down = (dense(theta.at[k].add(s), n, d) for s in (np.pi / 2, -np.pi / 2))
        slope = (np.vdot(up, H @ up) - np.vdot(down, H @ down)).real / 2
        assert abs(gradient[k] - slope) < 1e-10
    first = ch.zero_state(n).reshape((2,) * n)
    e, slopes = ch.adjoint_gradient(theta, ch.ansatz(n, d), first, ch.heisenberg)
    assert abs(e - value) < 1e-11 and differ(slopes, gradient) < 1e-11


def test_any_state_and_its_cotangent():
    theta = angles(4, 3)
    psi, phi = draw.normal(size=(2, 16)) + 1j * draw.normal(size=(2, 16))

    def gradients(run):
        def value(theta, re, im):
            out = run(theta, re + 1j * im)
            return jnp.vdot(phi, out).imag + jnp.sum(abs(out) ** 4)

        return jax.jit(jax.grad(value, (0, 1, 2)))(theta, psi.real, psi.imag)

    stored = gradients(ch.run_circuit)
    for rule in (ch.reversible_circuit, ch.apply_circuit):
        for ours, want in zip(gradients(rule), stored, strict=True):
            assert differ(ours, want) < 1e-10


@pytest.mark.parametrize("n", [2, 3, 4, 7, 13])
def test_ring_of_any_length(n):
    psi = jnp.asarray(draw.normal(size=2**n))
    want = psi.reshape((2,) * n)
    for i in range(n):
        want = ch.cnot(want, i, (i + 1) % n)
    np.testing.assert_array_equal(ch.ring(psi), want.reshape(-1))
    np.testing.assert_array_equal(ch.unring(ch.ring(psi)), psi)
    assert sum(ch.group_sizes(n)) == n


@pytest.mark.parametrize("n", [2, 3, 9])
def test_rotations_by_real_groups_and_phases(n):
    psi = draw.normal(size=2**n) + 1j * draw.normal(size=2**n)
    a, b, c = draw.uniform(-9, 9, (3, n))
    want = psi
    for q in range(n):
        for name, t in zip("ZXZ", (a[q], b[q], c[q]), strict=True):
            u = np.cos(t / 2) * np.eye(2) - 1j * np.sin(t / 2) * ch.PAULI[name]
            want = on(u, q, n) @ want
    psi, want = jnp.asarray(psi), jnp.asarray(want)
    assert differ(ch.rotate(psi, a, b, c), want) < 1e-13
    assert differ(ch.rotate_groups(psi, a, b, c), want) < 1e-13
    assert differ(ch.joined(ch.rotate_split(ch.split(psi), a, b, c)), want) < 1e-13
    back, _, _ = ch.unrotate(ch.split(want), ch.split(ch.heisenberg(want)), a, b, c)
    assert differ(ch.joined(back), psi) < 1e-13


def test_memory_is_flat():
    need = []
    for d in (50, 5000):
        theta = jax.ShapeDtypeStruct((9 * (3 * d + 1),), float)
        need.append(ch.temporary_mib(lambda t: ch.energy_and_grad(t, 9), theta)[0])
    assert abs(need[1] - need[0]) < 0.1 and need[1] < 1


def test_batches_and_single_precision():
    theta = jnp.asarray(draw.normal(size=(3, 5 * 7)))
    both = jax.vmap(lambda t: ch.energy_and_grad(t, 5))(theta)
    for k in range(3):
        assert differ(both[1][k], ch.energy_and_grad(theta[k], 5)[1]) < 1e-12
    single = ch.energy_and_grad(theta[0].astype(jnp.float32), 5)
    assert single[1].dtype == jnp.float32 and abs(single[1] - both[1][0]).max() < 1e-4


def test_parameter_shift_of_any_shape():
    def f(t):
        return jnp.prod(jnp.cos(t)) + jnp.sum(jnp.sin(t))

    t = jnp.asarray(draw.normal(size=(2, 3)))
    assert differ(ch.parameter_shift(f, t), jax.grad(f)(t)) < 1e-12
    assert differ(ch.parameter_shift(f, np.array(t)), jax.grad(f)(t)) < 1e-12


@pytest.mark.parametrize("R", [1, 2, 5])
def test_general_shift(R):
    a, b = draw.normal(size=(2, R + 1))

    def f(t):
        return sum(a[k] * jnp.cos(k * t) + b[k] * jnp.sin(k * t) for k in range(R + 1))

    assert abs(ch.general_shift(f, 0.7, R) - jax.grad(f)(0.7)) < 1e-11


@pytest.mark.parametrize(
    "n, exact",
    [(4, -8), (6, -11.2111025510), (12, -21.5495636698)],
)
def test_exact_energies(n, exact):
    assert abs(ch.ground_energy(ch.heisenberg, n) - exact) < 1e-9


@pytest.mark.parametrize("R, energy", [(1.4 / 1.0, -1.1373), (0.735 / 0.529177210903, -1.137306)])
def test_hydrogen(R, energy):
    assert abs(np.linalg.eigvalsh(ch.hydrogen(R))[0] - energy) < 5e-5


def test_metric_is_that_of_fidelities():
    theta, step = angles(3, 2), 1e-3 * draw.normal(size=21)
    p, q = (dense(theta + s * step, 3, 2) for s in (-0.5, 0.5))
    distance = 1 - abs(np.vdot(p, q)) ** 2
    assert abs(distance / (step @ ch.metric(theta, 3) @ step) - 1) < 1e-4


def test_bars_and_stripes():
    assert [len(ch.bars_and_stripes(m)) for m in (2, 3, 4)] == [6, 14, 30]


@pytest.mark.parametrize(
    "bad",
    [
        lambda: ch.energy(jnp.zeros(9), 2),
        lambda: ch.energy(jnp.zeros(4), 1),
        lambda: ch.energy(jnp.zeros(2), 2),
        lambda: ch.energy_and_grad(jnp.zeros((2, 4)), 2),
        lambda: ch.apply_circuit(jnp.zeros(8), jnp.zeros(5)),
        lambda: ch.reversible_circuit(jnp.zeros(9), jnp.zeros(4)),
        lambda: ch.energy(jnp.zeros(8, int), 2),
        lambda: ch.run_circuit(jnp.zeros(8, complex), jnp.zeros(4, complex)),
        lambda: ch.run_circuit(jnp.zeros(8), np.eye(4)[0]),
        lambda: ch.reversible_circuit(jnp.zeros(8), jnp.eye(4)[0]),
        lambda: ch.run_plain(np.zeros(9), ch.ansatz(2, 1), ch.zero_state(2).reshape(2, 2)),
        lambda: ch.run_plain(np.zeros(7), ch.ansatz(2, 1), ch.zero_state(2).reshape(2, 2)),
    ],
)
def test_bad_input_gets_a_clear_error(bad):
    with pytest.raises(ValueError, match=r"angles|amplitudes|complex"):
        bad()


def test_checkpoints_refuse_a_depth_that_is_no_square():
    with pytest.raises(ValueError, match="square"):
        ch.checkpointed_circuit(angles(2, 3), jnp.asarray(ch.zero_state(2)))


def test_plateau_formula_is_a_haar_average():
    """Random unitaries before and after a gate, in the place of random circuits."""
    D, samples = 4, 4000
    raw = draw.normal(size=(2, 2, samples, D, D))
    U, V = np.linalg.qr(raw[0] + 1j * raw[1])[0]
    weights = draw.normal(size=D)
    psi = U[:, :, 0]
    seen = np.einsum("sba,b,sbc->sac", V.conj(), weights, V)
    sigma = on(ch.X, 0, 2)
    slopes = np.einsum("sa,ab,sbc,sc->s", psi.conj(), sigma, seen, psi).imag
    assert abs(np.mean(slopes**2) / ch.design_slope2(weights) - 1) < 0.1
