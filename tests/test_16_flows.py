"""The functions of chapter 16 at dimensions, precisions and energies that it does not use."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import lazily
from scipy.integrate import quad
from scipy.signal import lfilter

chapter = lazily("16_flows")
KEY = jax.random.key(77)


def block_of(name):
    return {
        "affine": lambda: chapter.affine,
        "spline": lambda: chapter.spline(4, 3.0),
        "circle": lambda: chapter.circle,
    }[name]()


@pytest.mark.parametrize("name, dim", [("affine", 1), ("affine", 6), ("spline", 3), ("circle", 2)])
def test_log_determinants_and_inversion_near_and_far(name, dim):
    block = block_of(name)
    params = chapter.init_flow(KEY, dim, layers=3, width=8, block=block, scale=1.5)
    half = np.pi if name == "circle" else 4.0
    near = np.random.default_rng(0).uniform(-half, half, (20, dim))
    far = np.array([[1e-20], [1e3], [1e9]]) * (-0.7) ** np.arange(dim)
    far = near[:0] if name == "circle" else far
    z = np.concatenate([near, far])

    @jax.jit
    @jax.vmap
    def everything(z):
        x, log_det = chapter.forward(params, z, block)
        J = jax.jacfwd(lambda z: chapter.forward(params, z, block)[0])(z)
        log_q = chapter.log_prob(params, x, block)
        return x, log_det, *chapter.inverse(params, x, block), J, log_q

    x, log_det, back, log_back, J, log_q = map(np.asarray, everything(z))
    np.testing.assert_allclose(log_det, np.linalg.slogdet(J)[1], atol=1e-10)
    np.testing.assert_allclose(log_back, -log_det, atol=1e-8)
    np.testing.assert_allclose(log_back[:20], -log_det[:20], atol=1e-10)
    turn = 2 * np.pi if name == "circle" else np.inf
    off = np.abs(back - z)
    np.testing.assert_allclose(np.minimum(off, np.abs(turn - off))[:20], 0, atol=1e-10)
    assert np.max(np.abs(x - z)) > 0.1
    size = np.max(np.abs(far), axis=1, keepdims=True)
    assert (off[20:] < 1e-8 * np.maximum(size, 1)).all() and np.isfinite(log_q).all()


def test_a_new_flow_is_the_identity_and_every_coordinate_can_move():
    forward = jax.jit(chapter.forward)
    for dim in (1, 5):
        params = chapter.init_flow(KEY, dim, layers=2, width=4)
        z = np.linspace(-1.5, 0.7, dim)
        x, log_det = forward(params, z)
        np.testing.assert_allclose(x, z, atol=1e-14)
        assert log_det == 0
        params = chapter.init_flow(KEY, dim, layers=2, width=4, scale=1.0)
        assert np.min(np.abs(np.asarray(forward(params, z)[0]) - z)) > 0


def test_log_prob_is_that_of_a_normalised_density():
    def check(block):
        params = chapter.init_flow(KEY, 2, layers=4, width=8, block=block, scale=0.7)
        side = np.linspace(-12, 12, 241)
        points = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
        x, own = map(np.asarray, chapter.sample(params, KEY, 50, 2, block))
        log_q = np.asarray(chapter.log_probs(params, np.concatenate([points, x]), block))
        assert abs(np.sum(np.exp(log_q[:-50])) * 0.01 - 1) < 5e-3
        np.testing.assert_allclose(own, log_q[-50:], atol=1e-9)

    check(chapter.spline(5, 4.0))


@pytest.mark.parametrize("name", ["spline", "circle", "interval"])
def test_the_other_blocks_keep_32_bits(name):
    block = chapter.interval if name == "interval" else block_of(name)
    params = chapter.init_flow(KEY, 3, 2, 4, block, 1.0, jnp.float32)
    z = np.ones(3, np.float32)
    for f in (chapter.forward, chapter.inverse, chapter.log_prob):
        shapes = jax.tree.leaves(jax.eval_shape(lambda z, f=f: f(params, z, block), z))
        assert {shape.dtype for shape in shapes} == {jnp.dtype("float32")}, f


def test_a_spline_that_cannot_be_is_refused():
    for bins, bound in ((0, 6.0), (2000, 6.0), (8, 0.0), (8, -1.0)):
        with pytest.raises(ValueError, match="bins"):
            chapter.spline(bins, bound)


def test_precision_follows_the_input_and_what_does_not_fit_is_refused():
    params = chapter.init_flow(KEY, 3, layers=2, width=4, scale=1.0, dtype=jnp.float32)
    z = np.ones(3, np.float32)

    @jax.jit
    def there_and_back(z):
        x, log_det = chapter.forward(params, z)
        return x, log_det, chapter.inverse(params, x)[0], chapter.log_prob(params, x * jnp.nan)

    x, log_det, back, no_number = there_and_back(z)
    assert x.dtype == log_det.dtype == jnp.float32
    assert np.max(np.abs(back - z)) < 1e-5 and np.isnan(no_number)
    wide = jax.eval_shape(lambda z: chapter.forward(params, z), np.ones(3))
    assert wide[0].dtype == jnp.float64
    np.testing.assert_allclose(chapter.forward(params, [1, 1, 1])[0], x, rtol=1e-6)
    with pytest.raises(ValueError, match="vmap"):
        chapter.forward(params, np.ones((5, 3)))
    for dim in (2, 4, 6):
        with pytest.raises(ValueError, match="no sample"):
            chapter.log_prob(params, np.ones(dim))
    with pytest.raises(ValueError, match="block"):
        chapter.forward(params, np.ones(3), chapter.spline())
    with pytest.raises(TypeError, match="complex"):
        chapter.inverse(params, np.ones(3) * 1j)
    with pytest.raises(ValueError):
        chapter.init_flow(KEY, 0)
    with pytest.raises(TypeError, match="real"):
        chapter.init_flow(KEY, 2, dtype=complex)


def test_spline_is_increasing_and_inverted_at_extreme_numbers():
    h = 12 * jax.random.normal(KEY, (1, 20))
    z = jnp.linspace(-1.99, 1.99, 500)
    x, log_slope = chapter.spline_forward(jnp.tile(h, (500, 1)), z, 7, 2.0)
    back, log_back = chapter.spline_inverse(jnp.tile(h, (500, 1)), x, 7, 2.0)
    assert (jnp.diff(x) > 0).all() and jnp.isfinite(log_slope).all()
    np.testing.assert_allclose(back, z, atol=1e-9)
    np.testing.assert_allclose(log_back, -log_slope, atol=1e-6)
    slope = jax.jit(jax.vmap(jax.grad(lambda z: chapter.spline_forward(h, z[None], 7, 2.0)[0][0])))(
        z
    )
    np.testing.assert_allclose(jnp.log(slope), log_slope, atol=1e-9)


@pytest.mark.parametrize("dim", [1, 5])
def test_autoregressive(dim):
    weights = chapter.init_autoregressive(KEY, dim, width=12, scale=1.0)
    z = jax.random.normal(KEY, (dim,))

    @jax.jit
    def everything(z):
        x, log_det = chapter.autoregressive_forward(weights, z)
        J = jax.jacfwd(lambda z: chapter.autoregressive_forward(weights, z)[0])(z)
        return log_det, *chapter.autoregressive_inverse(weights, x), J

    log_det, back, log_back, J = map(np.asarray, everything(z))
    np.testing.assert_allclose(back, z, atol=1e-11)
    np.testing.assert_allclose([log_det, -log_back], np.linalg.slogdet(J)[1], atol=1e-11)
    assert np.max(np.abs(np.triu(J, 1))) == 0


def test_training_lowers_both_losses_to_a_known_value():
    """A normal distribution, narrow, wide and off centre, from samples and from its energy."""
    centre, width = jnp.array([1.0, -0.5]), jnp.array([0.5, 2.0])
    entropy = jnp.log(2 * jnp.pi * jnp.e) + jnp.sum(jnp.log(width))
    energy = lambda x: 0.5 * jnp.sum(((x - centre) / width) ** 2)
    lnz = jnp.log(2 * jnp.pi) + jnp.sum(jnp.log(width))
    data = centre + width * jax.random.normal(KEY, (5000, 2))
    start = chapter.init_flow(KEY, 2, layers=4, width=8)
    for loss, extra, floor in (
        (chapter.likelihood_loss(chapter.affine, 128), data, entropy),
        (chapter.energy_loss(energy, chapter.affine, 2, 128), 1.0, -lnz),
    ):
        _, values = chapter.fit(loss, start, KEY, extra, 300, 1e-2)
        assert values[0] > floor + 0.2 and abs(values[-50:].mean() - floor) < 0.04
    no_slope = lambda params, *_: jnp.sqrt(jnp.sum((params[0][0] - params[0][0]) ** 2))
    with pytest.raises(FloatingPointError):
        chapter.fit(no_slope, start, KEY, (), 1)  # the loss is 0, its gradient NaN


def test_weights_of_known_distributions():
    """A normal distribution as proposal for another one: everything in closed form."""
    params = chapter.init_flow(KEY, 3, layers=1, width=2)
    energy = lambda x: 0.5 * jnp.sum(x**2) / 1.2**2
    _, log_w = chapter.log_weights(params, energy, KEY, 40_000, 3)
    judged = jax.jit(lambda lw: (*chapter.lnz_estimate(lw), chapter.effective_share(lw)))
    lnz, error, share = judged(log_w)
    exact = 1.5 * np.log(2 * np.pi * 1.2**2)
    share_exact = (1.2**2 * (2 / 1.2**2 - 1) ** 0.5) ** 3  # 1 / E_q[(p/q)²]
    assert abs(lnz - exact) < 4 * error and 0 < error < 0.02
    assert abs(share - share_exact) < 0.03
    assert judged(np.full(3, -1e5))[2] == pytest.approx(1)
    assert np.isnan(judged(np.array([0.0, 0.0, 900.0]))[1])
    assert np.isnan(judged(np.zeros(1))[1])


def test_metropolis_has_the_right_stationary_distribution():
    """Three kinds of proposals with known weights: the shares in many chains are those of q w, and
    scatter as the transition matrix says and as `blocked_error` estimates. No key is special: the
    bounds are four standard deviations of the mean and of the scatter of 64 chains."""
    w, q = np.array([1.0, 3.0, 0.2]), np.array([0.5, 0.3, 0.2])
    p = q * w / (q @ w)
    n, chains = 10_000, 64
    P = q * np.minimum(1, w / w[:, None])  # P[i, j]: to another kind j
    rate = p @ P.sum(1)
    P = P + np.diag(1 - P.sum(1))
    f = np.array([0, 1, 0]) - p[1]
    solved = np.linalg.solve(np.eye(3) - P + p, f)
    exact = np.sqrt((2 * (p * f) @ solved - (p * f) @ f) / n)

    @jax.jit
    @jax.vmap
    def one(key):
        key_q, key_u = jax.random.split(key)
        kinds = jax.random.choice(key_q, 3, (n,), p=q)
        state, accepted = chapter.metropolis(key_u, jnp.log(w)[kinds])
        heavy = (kinds[state] == 1).astype(float)
        return heavy.mean(), chapter.blocked_error(heavy), accepted, kinds[state] == 2

    share, error, accepted, light = one(jax.random.split(KEY, chains))
    z = (share - p[1]) / exact
    assert abs(z.mean()) < 4 / chains**0.5 and abs(z.std() - 1) < 4 / (2 * chains) ** 0.5
    assert abs(error.mean() / exact - 1) < 0.06
    assert abs(accepted.mean() - rate) < 4 * accepted.std() / chains**0.5
    assert abs(light.mean() - p[2]) < 4 * light.mean(1).std() / chains**0.5
    state, _ = chapter.metropolis(KEY, jnp.array([0.0, jnp.nan, -jnp.inf, 5.0]))
    assert state.tolist() == [0, 0, 0, 3]


def test_blocked_error_of_an_autoregressive_series():
    def series(memory, n):
        noise = np.random.default_rng(1).normal(size=n)
        return lfilter([1], [1, -memory], noise)

    blocked_error = jax.jit(chapter.blocked_error)
    exact = 1 / (1 - 0.8) / np.sqrt(20_000)
    assert abs(blocked_error(series(0.8, 20_000)) / exact - 1) < 0.25
    assert jnp.isnan(blocked_error(series(0.9995, 20_000)))
    assert jnp.isnan(blocked_error(np.full(20_000, 3.7)))
    assert jnp.isnan(blocked_error(np.arange(20_000) >= 19_900.0))  # it moved once
    assert jnp.isnan(blocked_error(np.arange(50.0)))


@pytest.mark.parametrize("sigma", [0.15, 0.4, 1.1])
def test_ring(sigma):
    radial = lambda r: 2 * np.pi * r * np.exp(-((r - 2) ** 2) / 2 / sigma**2)
    Z = quad(radial, 0, 2)[0] + quad(radial, 2, 2 + 12 * sigma)[0]
    assert abs(chapter.ring_lnz(sigma) - np.log(Z)) < 1e-9
    r = np.linalg.norm(chapter.ring_sample(KEY, 40_000, sigma), axis=1)
    mean = (
        quad(lambda r: r * radial(r), 0, 2)[0] + quad(lambda r: r * radial(r), 2, 2 + 12 * sigma)[0]
    ) / Z
    assert abs(r.mean() - mean) < 5 * sigma / 200


def test_moons_density_is_normalised_and_that_of_the_samples():
    log_p = jax.jit(jax.vmap(chapter.moons_log_density))
    kl, mass, entropy = chapter.divergence(log_p, log_p, (-3, 4, -2.5, 3), 200)
    x = chapter.moons_sample(KEY, 200 * 200)  # as many as points of the grid: compiled once
    mean = -log_p(x).mean()
    assert abs(kl) < 1e-12 and abs(mass - 1) < 1e-6 and abs(mean - entropy) < 0.02
    with pytest.raises(ValueError, match="mass"):
        chapter.divergence(log_p, log_p, (0, 1, 0, 1))


def test_wells():
    x = chapter.wells_sample(KEY, 20_000)
    points = np.concatenate([x, chapter.wells])
    energies = np.asarray(jax.jit(jax.vmap(chapter.wells_energy))(points))
    entropy = energies[:-8].mean() + chapter.wells_lnz
    assert abs(entropy - (np.log(8 * 2 * np.pi * 0.25) + 1)) < 0.03
    np.testing.assert_allclose(energies[-8:], energies[-8], atol=1e-12)


def test_reverse_kl_of_one_hump_and_of_two():
    m, s, value = chapter.lowest(0.0, (0.7, 0.4))
    np.testing.assert_allclose([m, s, value], [0, 1, 0], atol=1e-8)
    m, s, value = chapter.lowest(7.0, (-6.5, 0.1))
    np.testing.assert_allclose([m, s, value], [-7, 1, np.log(2)], atol=1e-7)
    for a in (7.0, 10.0):
        assert abs(chapter.lowest(a, (0.0, 0.5 * np.log(1 + a**2)))[0]) < 1e-6


def test_sandwich_of_an_exact_flow():
    params = chapter.init_flow(KEY, 2, layers=1, width=2)
    energy = lambda x: 0.5 * jnp.sum(x**2) + 3
    p_samples = np.random.default_rng(3).normal(size=(500, 2))
    said = lambda p: chapter.sandwich(params, energy, KEY, p, chapter.affine, 500)
    v = jax.jit(said)(p_samples)
    exact = np.log(2 * np.pi) - 3
    np.testing.assert_allclose([v["lower"], v["lnz"], v["upper"]], exact, atol=1e-10)
    np.testing.assert_allclose([v["share_q"], v["share_p"], v["error"]], [1, 1, 0], atol=1e-6)


def test_pictures_go_to_the_line_and_back():
    pictures = jnp.asarray(np.random.default_rng(2).integers(0, 17, (5, 64)))
    x, log_slope = chapter.to_line(KEY, pictures)
    np.testing.assert_array_equal(jnp.floor(chapter.to_picture(x)), pictures)
    slope = jax.jit(jax.vmap(jax.vmap(jax.grad(chapter.to_picture))))(x)
    np.testing.assert_allclose(-np.log(slope).sum(1), log_slope, rtol=1e-8)
    flat = chapter.bits(np.full(5, -64 * np.log(17)), np.zeros(5), 64)
    np.testing.assert_allclose(flat, np.log2(17), rtol=1e-12)


def test_arc_keeps_the_length():
    a, b = jnp.array([3.0, 0.0, 0.0]), jnp.array([0.0, 3.0, 0.0])
    middle = chapter.arc(a, b, 0.5)
    np.testing.assert_allclose(middle, [3 / 2**0.5, 3 / 2**0.5, 0], rtol=1e-12)
    np.testing.assert_allclose(chapter.arc(a, b, 1.0), b, atol=1e-12)
    np.testing.assert_allclose(chapter.arc(a, a, 0.3), a, atol=1e-12)
