"""Chapter 6: its functions on fields, times and inputs that the chapter does not use."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import lazily

ch = lazily("06_neural_ode")


def van_der_pol(x, t, params):
    return {"q": x["v"], "v": params["mu"] * (1 - x["q"] ** 2) * x["v"] - x["q"] + jnp.sin(t)}


# NumPy's arrays have 64 bits whether or not the chapter, which asks JAX for them, is loaded
X0 = {"q": np.asarray(0.7), "v": np.asarray(-0.2)}
PARAMS = {"mu": np.asarray(0.8)}
TS = np.array([0.1, 0.9, 1.7, 1.2])


def loss(x0, ts, params, **options):
    out = ch.odeint(van_der_pol, x0, ts, params, **options)
    return jnp.sum(jnp.sin(out["q"]) * out["v"])


def gap(a, b):
    return float(jnp.max(jnp.abs(ch.flat(a) - ch.flat(b))))


def gradient(**options):
    return jax.jit(jax.grad(lambda *a: loss(*a, **options), (0, 1, 2)))(X0, TS, PARAMS)


@functools.cache
def reference():
    return gradient(method="rk4", steps=300, adjoint="stored")


@functools.cache
def growth():
    """(a, x0, ts) ↦ x at `ts` and the slope of its last one by a; compiled once for all times."""
    end = lambda a, x0, ts: (lambda x: (x[-1], x))(ch.odeint(ch.growth, x0, ts, a))
    return jax.jit(jax.value_and_grad(end, has_aux=True))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"adjoint": "checkpointed", "max_steps": 100},
        {"method": "rk4", "steps": 60},
        {"method": "rk4", "steps": 60, "adjoint": "interpolated"},
        {"method": "rk4", "steps": 60, "adjoint": "reversible"},
    ],
    ids=str,
)
def test_gradients_against_a_fine_stored_program(options):
    assert gap(gradient(**options), reference()) < 2e-7


def test_duality_of_push_and_pull():
    f = lambda x0: ch.odeint(van_der_pol, x0, TS, PARAMS, method="rk4", steps=60)
    dx = jax.tree.map(jnp.asarray, {"q": 0.3, "v": -1.1})

    @jax.jit
    def pairings():
        y, pull = jax.vjp(f, X0)
        push = jax.jvp(f, (X0,), (dx,))[1]
        bar = jax.tree.map(jnp.cos, y)
        return ch.flat(bar) @ ch.flat(push), ch.flat(pull(bar)[0]) @ ch.flat(dx)

    ahead, back = pairings()
    assert abs(ahead - back) < 1e-7 < 1e-3 < abs(ahead)


def test_growth_to_ten_digits():
    for a in (-1.3, 0.4):
        _, slope = growth()(a, 0.9, jnp.array([0, 1.0, 3.0]))
        assert abs(slope / (3 * 0.9 * np.exp(3 * a)) - 1) < 1e-10


def test_vmap_of_gradient():
    f = lambda a: ch.odeint(ch.growth, 1.0, jnp.array([1.0, 0.0]), a, method="rk4", steps=60)[-1]
    a = jnp.array([0.2, -0.5, 1.1])
    np.testing.assert_allclose(jax.vmap(jax.grad(f))(a), -np.exp(-a), rtol=1e-8, atol=0)


def test_scales():
    """Units change nothing: 1e-20 and 1e9, in the state and in the loss."""
    for scale in (1e-20, 1e9):
        _, slope = growth()(-0.4, scale, jnp.array([0, 0.5, 1.0]))
        assert abs(slope / (scale * np.exp(-0.4)) - 1) < 1e-9


def test_a_large_state_does_not_hide_its_adjoint():
    end = lambda x, K: ch.odeint(lambda x, t, K: K - x, x, jnp.array([0, 1.5, 3.0]), K)[-1]
    slope = jax.jit(jax.grad(end))
    for K in (1e-20, 1.0, 1e16):
        assert abs(slope(K, K) / np.exp(-3) - 1) < 1e-9


def test_copies_that_have_parted_are_nan_in_value_and_in_both_modes():
    options = {"method": "rk4", "steps": 400, "adjoint": "reversible"}
    end = lambda a: ch.odeint(ch.growth, 1.0, jnp.array([0.0, 24.0]), a, **options)[-1]
    pushed = jax.jit(lambda a: jax.jvp(end, (a,), (1.0,)))
    assert jnp.isnan(jnp.stack(pushed(-1.0))).all() and jnp.isfinite(jnp.stack(pushed(0.1))).all()
    assert jnp.isnan(jax.jit(jax.grad(end))(-1.0))


def test_one_time_and_equal_times():
    assert ch.odeint(ch.growth, jnp.ones(2), jnp.array([1.0]), 1.0).shape == (1, 2)
    (_, same), _ = growth()(1.0, 1.0, jnp.array([1.0, 1.0, 2.0]))
    np.testing.assert_allclose(same, [1, 1, np.e], rtol=1e-9, atol=0)


def test_what_is_refused():
    with pytest.raises(ValueError, match="like x"):
        ch.odeint(lambda x, t, p: (x,), 1.0, TS, ())
    with pytest.raises(ValueError, match="times"):
        ch.odeint(ch.growth, 1.0, jnp.ones((2, 2)), 1.0)
    with pytest.raises(ValueError, match="dopri5 goes with"):
        ch.odeint(ch.growth, 1.0, TS, 1.0, adjoint="reversible")
    with pytest.raises(ValueError, match="complex"):
        ch.odeint(lambda x, t, p: 1j * x, 1.0, TS, ())
    for steps in (0, 2.5):
        with pytest.raises(ValueError, match="steps must be"):
            ch.odeint(ch.growth, 1.0, TS, 1.0, method="rk4", steps=steps)
    with pytest.raises(ValueError, match="method"):
        ch.odeint(ch.growth, 1.0, TS, 1.0, method="rk5")
    for bad in ({"rtol": -1.0}, {"atol": -1e-9}, {"max_steps": 0}):
        with pytest.raises(ValueError, match="must be ≥ 0"):
            ch.odeint(ch.growth, 1.0, TS, 1.0, **bad)


def test_steps_may_be_a_whole_float():
    options = {"method": "euler", "adjoint": "stored"}
    ends = [ch.odeint(ch.growth, 1.0, TS[:2], 1.0, steps=n, **options) for n in (3, 3.0)]
    assert jnp.all(ends[0] == ends[1])


def test_blow_up_is_nan():
    for way in ch.ADAPTIVE:
        options = {"adjoint": way, "max_steps": 200}
        end = ch.odeint(lambda x, t, _: x**2, 1.0, jnp.array([0.0, 1.5]), (), **options)
        assert jnp.isnan(end[-1]) and not jnp.isnan(end[0])


def test_steps_into_nothing_are_rejected():
    """The first trial steps leave the domain of the square root."""
    f = lambda x, t, _: -50 * jnp.sqrt(x) * x
    end = ch.odeint(f, 1.0, [0.0, 1.0], (), rtol=1e-6)[-1]
    assert abs(26**2 * end - 1) < 1e-4


def test_what_grows_does_not_hide_what_is_lost():
    """Beside exp(20) the relaxing velocity is small; its own leaf is watched, and integrated, in
    its own units."""

    def f(x, t, k):
        return {"b": 5 * x["b"], "q": x["v"], "v": -k * (x["v"] - jnp.sin(x["q"]))}

    x0 = {"b": 1.0, "q": 0.5, "v": 2.0}
    slope = jax.jit(jax.grad(lambda k: ch.odeint(f, x0, [0.0, 4.0], k)["q"][-1]))
    assert jnp.isnan(slope(10.0))
    assert abs(slope(5.0) + 0.0149315140) < 1e-8  # that of stored states, without b


def test_lost_way_is_nan():
    """exp(-60) of the start is left in the end, beside a cosine."""
    f = lambda k: ch.odeint(lambda x, t, k: -k * (x - jnp.cos(t)), 2.0, jnp.array([0, 1.0]), k)[-1]
    value, slope = jax.jit(jax.value_and_grad(f))(60.0)
    assert jnp.isnan(slope) and jnp.isfinite(value)


def test_float32_stays():
    x = ch.odeint(ch.growth, jnp.float32(1), jnp.arange(2, dtype=jnp.float32), jnp.float32(-1))
    assert x.dtype == jnp.float32 and abs(x[-1] - np.exp(-1)) < 1e-4


def test_radau_has_order_five_and_gradients():
    f = lambda x, t, p: -p * (x - jnp.cos(t))
    exact = lambda p: (p**2 * jnp.cos(2.0) + p * jnp.sin(2.0) + jnp.exp(-2 * p)) / (1 + p**2)
    right = jax.value_and_grad(exact)(3.0)
    errors = []
    for n in (8, 16):
        leg = ch.stored(ch.fixed(ch.radau_step, n), f, 0.0, 2.0)
        ours = jax.jit(jax.value_and_grad(lambda p, leg=leg: leg(jnp.ones(1), p)[0]))(3.0)
        errors.append([abs(a - b) for a, b in zip(ours, right, strict=True)])
    value, slope = np.divide(*errors)
    assert 20 < value < 50 and 20 < slope < 50
    assert max(errors[1]) < 1e-6


def test_black_box():
    leg = ch.black_box(ch.pendulum, 0.0, 1.5, rtol=1e-10, atol=1e-12)
    params = {"stiffness": 2.0, "friction": 0.1, "drive": 0.4}
    params = jax.tree.map(jnp.asarray, params)
    x = jnp.array([0.3, 0.6])
    tiny = jax.grad(lambda *a: 1e-16 * leg(*a)[0], (0, 1))(x, params)
    ours = lambda *a: ch.stored(ch.fixed(ch.rk4_step, 300), ch.pendulum, 0.0, 1.5)(*a)[0]
    gradient = jax.grad(lambda *a: leg(*a)[0], (0, 1))(x, params)
    assert gap(gradient, jax.jit(jax.grad(ours, (0, 1)))(x, params)) < 1e-7
    assert gap(ch.scaled(1e16, tiny), gradient) < 1e-12  # units of the loss change nothing
    with pytest.raises(ValueError, match="outside of jit"):
        jax.jit(leg)(x, params)


def test_pair_is_undone():
    method = ch.fixed(ch.rk4_step, 1)
    x = jnp.array([0.4, 1.0]), jnp.array([0.3, 1.1])
    params = jax.tree.map(jnp.asarray, {"stiffness": 1.0, "friction": 0.3, "drive": 0.5})
    there = ch.pair_step(method, ch.pendulum, x, 0.2, 0.1, params)
    assert gap(ch.pair_back(method, ch.pendulum, there, 0.2, 0.1, params), x) < 1e-14
    assert gap(there, x) > 1e-3


def test_reversible_way_that_is_lost_is_nan():
    """Friction (kT = 48) rubs out what rounding left; stored states do not mind."""
    f = lambda x, t, k: jnp.stack([x[1], -k * x[1] + jnp.sin(x[0])])
    x0 = jnp.array([0.3, 1.0])
    ts = jnp.array([0.0, 3.0])
    options = {"method": "rk4", "steps": 300}
    end = lambda k, way: ch.odeint(f, x0, ts, k, adjoint=way, **options)[-1, 0]
    lost, kept = jax.jit(lambda k: [jax.grad(end)(k, way) for way in ("reversible", "stored")])(
        16.0
    )
    assert jnp.isnan(lost) and jnp.isfinite(kept)


def test_memory_of_the_reversible_way_does_not_grow():
    """But for the step sizes, eight bytes a step forward and as many back; a state has 240."""
    x = jnp.ones((10, 3))

    def size(steps):
        options = {"method": "rk4", "steps": steps, "adjoint": "reversible"}
        ts = jnp.array([0.0, 0.5])
        loss = lambda x, a: jnp.sum(ch.odeint(ch.logistic, x, ts, a, **options)[-1] ** 2)
        return ch.temporary_bytes(jax.jit(jax.grad(loss, (0, 1))).lower(x, 0.3).compile())

    assert size(1000) - size(10) <= 16 * 990


def test_a_step_of_ones_own():
    """The midpoint method; Radau's goes through `odeint` in the chapter."""

    def midpoint(f, x, t, h, params):
        return x + h * f(x + h / 2 * f(x, t, params), t + h / 2, params)

    options = {"method": midpoint, "steps": 400, "adjoint": "stored"}
    end = lambda a: ch.odeint(ch.growth, jnp.ones(1), jnp.array([0.0, 1.0]), a, **options)[-1, 0]
    assert abs(jax.grad(end)(-0.7) / np.exp(-0.7) - 1) < 1e-5
