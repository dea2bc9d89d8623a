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
def test_log_determinants_and_inversion(name, dim):
    block = block_of(name)
    params = chapter.init_flow(KEY, dim, layers=3, width=8, block=block, scale=1.5)
    z = (
        2 * jax.random.normal(KEY, (20, dim))
        if name != "circle"
        else block.base.sample(KEY, (20, dim))
    )

    @jax.jit
    @jax.vmap
    def everything(z):
        x, log_det = chapter.forward(params, z, block)
        J = jax.jacfwd(lambda z: chapter.forward(params, z, block)[0])(z)
        return x, log_det, *chapter.inverse(params, x, block), J

    x, log_det, back, log_back, J = everything(z)
    np.testing.assert_allclose(log_det, jnp.linalg.slogdet(J)[1], atol=1e-10)
    np.testing.assert_allclose(log_back, -log_det, atol=1e-10)
    off = back - z if name != "circle" else chapter.wrap(back - z)
    np.testing.assert_allclose(off, 0, atol=1e-10)
    assert jnp.max(jnp.abs(x - z)) > 0.1


def test_a_new_flow_is_the_identity_and_every_coordinate_can_move():
    for dim in (1, 5):
        params = chapter.init_flow(KEY, dim, layers=2, width=4)
        z = jax.random.normal(KEY, (dim,))
        x, log_det = chapter.forward(params, z)
        np.testing.assert_allclose(x, z, atol=1e-14)
        assert log_det == 0
        params = chapter.init_flow(KEY, dim, layers=2, width=4, scale=1.0)
        assert jnp.min(jnp.abs(chapter.forward(params, z)[0] - z)) > 0


def test_log_prob_is_that_of_a_normalised_density():
    def check(block):
        params = chapter.init_flow(KEY, 2, layers=4, width=8, block=block, scale=0.7)
        side = jnp.linspace(-30, 30, 601)
        points = jnp.stack(jnp.meshgrid(side, side), -1).reshape(-1, 2)
        log_q = chapter.log_probs(params, points, block)
        assert abs(jnp.sum(jnp.exp(log_q)) * 0.01 - 1) < 5e-3
        x, own = chapter.sample(params, KEY, 50, 2, block)
        again = chapter.log_probs(params, x, block)
        np.testing.assert_allclose(own, again, atol=1e-9)

    check(chapter.spline(5, 4.0))


def test_one_affine_layer_by_hand():
    params = chapter.init_flow(KEY, 2, layers=1, width=4, scale=2.0)
    z = jnp.array([0.3, -0.8])
    h = chapter.network([(W[0], b[0]) for W, b in params], z[:1])
    x, log_det = chapter.forward(params, z)
    s = 2 * jnp.tanh(h[0] / 2)
    np.testing.assert_allclose(x, [z[0], z[1] * jnp.exp(s) + h[1]], rtol=1e-14)
    np.testing.assert_allclose(log_det, s, rtol=1e-14)


def test_precision_follows_the_input_and_what_does_not_fit_is_refused():
    params = chapter.init_flow(KEY, 3, layers=2, width=4, scale=1.0, dtype=jnp.float32)
    z = jnp.ones(3, jnp.float32)
    x, log_det = chapter.forward(params, z)
    assert x.dtype == log_det.dtype == jnp.float32
    assert jnp.max(jnp.abs(chapter.inverse(params, x)[0] - z)) < 1e-5
    assert chapter.forward(params, np.ones(3))[0].dtype == jnp.float64
    np.testing.assert_allclose(chapter.forward(params, [1, 1, 1])[0], x, rtol=1e-6)
    with pytest.raises(ValueError, match="vmap"):
        chapter.forward(params, jnp.ones((5, 3)))
    with pytest.raises(ValueError, match="no sample"):
        chapter.log_prob(params, jnp.ones(6))
    with pytest.raises(ValueError, match="block"):
        chapter.forward(params, jnp.ones(3), chapter.spline())
    with pytest.raises(TypeError, match="complex"):
        chapter.inverse(params, jnp.ones(3) * 1j)
    with pytest.raises(ValueError):
        chapter.init_flow(KEY, 0)
    with pytest.raises(TypeError, match="real"):
        chapter.init_flow(KEY, 2, dtype=complex)
    assert jnp.isnan(chapter.log_prob(params, jnp.array([0.0, jnp.nan, 0.0])))


@pytest.mark.parametrize("name", ["affine", "spline"])
def test_far_away_points_come_back(name):
    block = block_of(name)
    params = chapter.init_flow(KEY, 2, layers=4, width=8, block=block, scale=1.0)
    size = jnp.array([1e-20, 1e3, 1e9])[:, None]
    z = size * jnp.array([1.0, -0.7])

    @jax.jit
    @jax.vmap
    def there_and_back(z):
        x, _ = chapter.forward(params, z, block)
        return *chapter.inverse(params, x, block), chapter.log_prob(params, x, block)

    back, _, log_q = there_and_back(z)
    assert (jnp.abs(back - z) < 1e-8 * jnp.maximum(size, 1)).all()
    assert jnp.isfinite(log_q).all()


def test_spline_is_increasing_and_inverted_at_extreme_numbers():
    h = 12 * jax.random.normal(KEY, (1, 20))
    z = jnp.linspace(-1.99, 1.99, 500)
    x, log_slope = chapter.spline_forward(jnp.tile(h, (500, 1)), z, 7, 2.0)
    back, log_back = chapter.spline_inverse(jnp.tile(h, (500, 1)), x, 7, 2.0)
    assert (jnp.diff(x) > 0).all() and jnp.isfinite(log_slope).all()
    np.testing.assert_allclose(back, z, atol=1e-9)
    np.testing.assert_allclose(log_back, -log_slope, atol=1e-6)
    slope = jax.vmap(
        lambda z: jax.grad(lambda z: chapter.spline_forward(h, z[None], 7, 2.0)[0][0])(z)
    )(z)
    np.testing.assert_allclose(jnp.log(slope), log_slope, atol=1e-9)


@pytest.mark.parametrize("dim", [1, 5])
def test_autoregressive(dim):
    weights = chapter.init_autoregressive(KEY, dim, width=12, scale=1.0)
    z = jax.random.normal(KEY, (dim,))
    x, log_det = jax.jit(chapter.autoregressive_forward)(weights, z)
    back, log_back = chapter.autoregressive_inverse(weights, x)
    J = jax.jit(jax.jacfwd(lambda z: chapter.autoregressive_forward(weights, z)[0]))(z)
    np.testing.assert_allclose(back, z, atol=1e-11)
    np.testing.assert_allclose([log_det, -log_back], jnp.linalg.slogdet(J)[1], atol=1e-11)
    assert jnp.max(jnp.abs(jnp.triu(J, 1))) == 0


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
    with pytest.raises(FloatingPointError):
        chapter.fit(lambda params, *_: jnp.log(-jnp.ones(())), start, KEY, data, 3)


def test_weights_of_known_distributions():
    """A normal distribution as proposal for another one: everything in closed form."""
    params = chapter.init_flow(KEY, 3, layers=1, width=2)
    energy = lambda x: 0.5 * jnp.sum(x**2) / 1.2**2
    _, log_w = chapter.log_weights(params, energy, KEY, 40_000, 3)
    lnz, error = chapter.lnz_estimate(log_w)
    exact = 1.5 * jnp.log(2 * jnp.pi * 1.2**2)
    share_exact = (1.2**2 * (2 / 1.2**2 - 1) ** 0.5) ** 3  # 1 / E_q[(p/q)²]
    assert abs(lnz - exact) < 4 * error and 0 < error < 0.02
    assert abs(chapter.effective_share(log_w) - share_exact) < 0.03
    assert chapter.effective_share(jnp.full(7, -1e5)) == pytest.approx(1)
    assert jnp.isnan(chapter.lnz_estimate(jnp.array([0.0, 0.0, 900.0]))[1])
    assert jnp.isnan(chapter.lnz_estimate(jnp.zeros(1))[1])


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

    exact = 1 / (1 - 0.8) / np.sqrt(200_000)
    assert abs(chapter.blocked_error(jnp.asarray(series(0.8, 200_000))) / exact - 1) < 0.25
    assert jnp.isnan(chapter.blocked_error(jnp.asarray(series(0.9995, 20_000))))
    assert jnp.isnan(chapter.blocked_error(jnp.full(20_000, 3.7)))
    assert jnp.isnan(chapter.blocked_error(jnp.arange(50.0)))


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
    kl, mass, entropy = chapter.divergence(log_p, log_p, (-3, 4, -2.5, 3), 250)
    x = chapter.moons_sample(KEY, 20_000)
    mean = -jax.vmap(chapter.moons_log_density)(x).mean()
    assert abs(kl) < 1e-12 and abs(mass - 1) < 1e-6 and abs(mean - entropy) < 0.02
    with pytest.raises(ValueError, match="mass"):
        chapter.divergence(log_p, log_p, (0, 1, 0, 1))


def test_wells():
    x = chapter.wells_sample(KEY, 20_000)
    log_p = -jax.vmap(chapter.wells_energy)(x) - chapter.wells_lnz
    assert abs(-log_p.mean() - (np.log(8 * 2 * np.pi * 0.25) + 1)) < 0.03
    energies = [chapter.wells_energy(w) for w in chapter.wells]
    np.testing.assert_allclose(energies, energies[0], atol=1e-12)


def test_reverse_kl_of_one_hump_and_of_two():
    m, s, value = chapter.lowest(0.0, (0.7, 0.4))
    np.testing.assert_allclose([m, s, value], [0, 1, 0], atol=1e-8)
    m, s, value = chapter.lowest(7.0, (-6.5, 0.1))
    np.testing.assert_allclose([m, s, value], [-7, 1, np.log(2)], atol=1e-7)


def test_sandwich_of_an_exact_flow():
    params = chapter.init_flow(KEY, 2, layers=1, width=2)
    energy = lambda x: 0.5 * jnp.sum(x**2) + 3
    v = chapter.sandwich(params, energy, KEY, jax.random.normal(KEY, (500, 2)), chapter.affine, 400)
    exact = np.log(2 * np.pi) - 3
    np.testing.assert_allclose([v["lower"], v["lnz"], v["upper"]], exact, atol=1e-10)
    np.testing.assert_allclose([v["share_q"], v["share_p"], v["error"]], [1, 1, 0], atol=1e-6)


def test_pictures_go_to_the_line_and_back():
    pictures = jnp.asarray(np.random.default_rng(2).integers(0, 17, (5, 64)))
    x, log_slope = chapter.to_line(KEY, pictures)
    np.testing.assert_array_equal(jnp.floor(chapter.to_picture(x)), pictures)
    slope = jax.vmap(jax.vmap(jax.grad(chapter.to_picture)))(x)
    np.testing.assert_allclose(-jnp.log(slope).sum(1), log_slope, rtol=1e-8)
    flat = chapter.bits(jnp.full(5, -64 * jnp.log(17)), jnp.zeros(5), 64)
    np.testing.assert_allclose(flat, np.log2(17), rtol=1e-12)


def test_arc_keeps_the_length():
    a, b = jnp.array([3.0, 0.0, 0.0]), jnp.array([0.0, 3.0, 0.0])
    middle = chapter.arc(a, b, 0.5)
    np.testing.assert_allclose(middle, [3 / 2**0.5, 3 / 2**0.5, 0], rtol=1e-12)
    np.testing.assert_allclose(chapter.arc(a, b, 1.0), b, atol=1e-12)
    np.testing.assert_allclose(chapter.arc(a, a, 0.3), a, atol=1e-12)
