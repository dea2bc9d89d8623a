"""Chapter 2: the reader's own automatic differentiation against jax.

The programs are others than the chapter's.
"""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import lazily

from course.notebooks import path_of, read, tags

chapter = lazily("02_autodiff")
draw = np.random.default_rng(20261124)
A, B, M = draw.normal(size=(4, 4)), draw.normal(size=(4, 3)), draw.normal(size=(2, 4, 4))
x4, x3, x43 = draw.normal(size=4), draw.normal(size=3), draw.normal(size=(4, 3))
SPD = A @ A.T + 4 * np.eye(4)

# Each program is f(ops, *args) -> array of any shape.
PROGRAMS = {
    "operators": (lambda o, x: (2 - x) * x / (1 + x**2) - 3 / (x + 9) + (-x) ** 3, x4),
    "powers": (lambda o, x: o.exp(x) ** x + 2.0**x + o.sqrt(x**2 + 1) ** 1.5, x4),
    "elementary": (
        lambda o, x: o.sin(x) * o.cos(x) + o.tanh(x) + o.log(1 + o.exp(x)) + o.exp(-(x**2)),
        x43,
    ),
    "array on the left": (lambda o, x: B @ x + B[:, 0] * o.sum(x) + (B[:, 1] - o.matmul(B, x)), x3),
    "broadcast row": (lambda o, x: x * B + B / (2 + x**2), x3),
    "broadcast outer": (lambda o, x: x[:, None] * x[None, :] + x, x4),
    "broadcast two": (lambda o, x, y: o.reshape(x, (4, 1)) - y * o.sin(x[0]), (x4, x3)),
    "scalar and array": (lambda o, x, y: x * y + x**2, (np.float64(0.7), x43)),
    "slices": (lambda o, x: x[1:] * x[:-1] + x[::-1][:3] - x[-1], x4),
    "fancy index": (lambda o, x: x[np.array([0, 2, 2, 1])] ** 2, x4),
    "boolean mask": (lambda o, x: o.where(x > 0, x**2, o.exp(x)), x43),
    "index two axes": (lambda o, x: x[1:, 0] * x[2, 1:2] + x[..., -1][:3], x43),
    "sums": (
        lambda o, x: o.sum(x, axis=0) * o.sum(x) + o.sum(x, axis=1, keepdims=True)[:3, 0],
        x43,
    ),
    "mean and max": (lambda o, x: o.mean(x**2, axis=1) + o.max(x, axis=1), x43),
    "matmul vv": (lambda o, x: x @ o.sin(x) * x, x4),
    "matmul mv": (lambda o, x: o.matmul(A, x) + x @ A, x4),
    "matmul mm": (lambda o, x: x.T @ x + o.matmul(o.transpose(x), B), x43),
    "matmul batch": (lambda o, x: o.matmul(M, x), x43),
    "reshape": (lambda o, x: o.reshape(x, (2, 6)) ** 2 + o.sum(o.transpose(x)), x43),
    "concatenate": (lambda o, x: o.concatenate([x, o.sin(x), x[:2]]) ** 2, x4),
    "sort": (lambda o, x: o.sort(x) * np.arange(4.0), x4),
    "sort axis": (lambda o, x: o.sort(x**2) * np.arange(3.0), x43),
    "where constant": (lambda o, x: o.where(np.array([True, False, True, False]), x, 2.0) * x, x4),
    "abs maximum": (lambda o, x: o.abs(x) * o.maximum(x, 0.1) + o.minimum(x, o.sin(x)), x43),
    "solve": (lambda o, x: o.linalg.solve(SPD + x[:, None] * x[None, :], o.sin(x)), x4),
    "solve matrix": (lambda o, x: o.linalg.solve(SPD, x) @ x.T, x43),
    "inverse": (lambda o, x: o.linalg.inv(SPD + x * o.sin(x)[:, None]), x4),
    "determinant": (lambda o, x: o.linalg.det(SPD + x[:, None] * x[None, :]), x4),
    "loop": (
        lambda o, x: [y := x, [y := o.sin(y) + x * y / (1 + y**2) for _ in range(7)]][1][-1],
        x4,
    ),
    "no dependence": (lambda o, x: o.sin(np.ones(3)) + 0 * x[0], x4),
}
CASES = [
    pytest.param(f, args if isinstance(args, tuple) else (args,), id=name)
    for name, (f, args) in PROGRAMS.items()
]


def directions(args, seed=1):
    rng = np.random.default_rng(seed)
    return tuple(rng.normal(size=np.shape(a)) for a in args)


def close(mine, reference, tol=1e-9):
    mine, reference = np.asarray(mine), np.asarray(reference)
    assert mine.shape == reference.shape and mine.dtype == np.float64
    np.testing.assert_allclose(
        mine, reference, rtol=tol, atol=tol * (1 + np.abs(reference).max(initial=0))
    )


@pytest.mark.parametrize("f, args", CASES)
def test_value_is_that_of_jax(f, args):
    close(f(chapter.ops, *args), f(jnp, *args), 1e-12)


@pytest.mark.parametrize("f, args", CASES)
def test_jvp(f, args):
    value, tangent = chapter.jvp(lambda *a: f(chapter.ops, *a), args, directions(args))
    expected = jax.jvp(lambda *a: f(jnp, *a), args, directions(args))
    close(value, expected[0])
    close(tangent, expected[1])


@pytest.mark.parametrize("f, args", CASES)
def test_vjp(f, args):
    value, pullback = chapter.vjp(lambda *a: f(chapter.ops, *a), *args)
    expected, jax_pullback = jax.vjp(lambda *a: f(jnp, *a), *args)
    close(value, expected)
    cotangent = np.random.default_rng(2).normal(size=np.shape(value))
    mine = pullback(cotangent)
    assert isinstance(mine, tuple) and len(mine) == len(args)
    for got, want in zip(mine, jax_pullback(jnp.asarray(cotangent)), strict=True):
        close(got, want)


def compositions(o, my_grad, my_jvp, my_vjp, f, args):
    """Second derivatives in all four orders, as functions that run in either world."""
    weights = np.random.default_rng(3).normal(size=np.shape(f(chapter.ops, *args)))
    loss = lambda *a: o.sum(f(o, *a) * weights)
    v = directions(args)
    yield my_jvp(lambda *a: my_grad(loss)(*a), args, v)[1]
    yield my_grad(lambda *a: my_jvp(loss, a, v)[1])(*args)
    yield my_grad(lambda *a: o.sum(my_grad(loss)(*a) * v[0]))(*args)
    yield my_jvp(lambda *a: my_jvp(loss, a, v)[1], args, v)[1]
    yield my_vjp(lambda *a: my_vjp(loss, *a)[1](1.0)[0], *args)[1](v[0])[0]


@pytest.mark.parametrize("f, args", CASES)
def test_second_derivatives_in_every_order(f, args):
    mine = compositions(chapter.ops, chapter.grad, chapter.jvp, chapter.vjp, f, args)
    reference = jax.jit(lambda: [*compositions(jnp, jax.grad, jax.jvp, jax.vjp, f, args)])()
    for got, want in zip(mine, reference, strict=True):
        close(got, want, 1e-8)


@pytest.mark.parametrize("f, args", CASES[:12])
def test_hvp(f, args):
    loss = lambda o: lambda *a: o.sum(o.sin(f(o, *a)))
    if len(args) == 1:
        v = directions(args)[0]
        mine = chapter.hvp(loss(chapter.ops), args[0], v)
        close(mine, jax.jvp(jax.grad(loss(jnp)), args, (v,))[1], 1e-8)


def test_argnum():
    f = lambda o: lambda x, y: o.sum(x * o.sin(y))
    for k in (0, 1):
        close(chapter.grad(f(chapter.ops), k)(x4, x4 + 1), jax.grad(f(jnp), k)(x4, x4 + 1))


def test_no_perturbation_confusion():
    assert float(chapter.grad(lambda x: x * chapter.grad(lambda y: x + y)(1.0))(1.0)) == 1.0
    inner = lambda d, x: d(lambda y: x * y**2)(x)
    mine = chapter.grad(lambda x: x * inner(chapter.grad, x))(2.0)
    reference = jax.grad(lambda x: x * inner(jax.grad, x))(2.0)
    assert abs(float(mine) - reference) < 1e-12


def test_sixth_derivative_of_a_composite():
    f = lambda o: lambda x: o.sin(o.exp(x / 3)) * x
    mine, reference = f(chapter.ops), f(jnp)
    for _ in range(6):
        mine, reference = chapter.grad(mine), jax.grad(reference)
    assert abs(float(mine(0.4)) - float(reference(0.4))) < 1e-9


def test_control_flow():
    def newton(a):
        x = a
        while x * x - a > 1e-12:  # the comparison of a traced number must be a bool
            x = (x + a / x) / 2
        return x if a > 1 else -x

    assert abs(float(chapter.grad(newton)(3.0)) - 0.5 / np.sqrt(3.0)) < 1e-9
    assert abs(float(chapter.jvp(newton, (3.0,), (2.0,))[1]) - 1.0 / np.sqrt(3.0)) < 1e-9


@pytest.mark.parametrize(
    "shapes", list(itertools.product([(), (3,), (1, 3), (4, 1), (4, 3), (2, 4, 3)], repeat=2))
)
def test_broadcasting_of_every_operator(shapes):
    rng = np.random.default_rng(5)
    x, y = (rng.uniform(0.5, 1.5, size=s) for s in shapes)
    for op in (
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: a * b,
        lambda a, b: a / b,
        lambda a, b: a**b,
    ):
        out, pullback = chapter.vjp(op, x, y)
        want, jax_pullback = jax.vjp(op, x, y)
        mine = pullback(np.ones(np.shape(out)))
        reference = jax_pullback(jnp.ones(want.shape))
        for got, wanted in zip(mine, reference, strict=True):
            close(got, wanted)


def test_ties_are_shared_as_in_jax():
    x = np.array([1.0, 3.0, 3.0, 2.0])
    close(chapter.grad(chapter.ops.max)(x), jax.grad(jnp.max)(x))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: chapter.grad(lambda x: x * 2)(x4),  # not a scalar
        lambda: chapter.jvp(chapter.ops.sin, (x4,), (x3,)),  # tangent of another shape
        lambda: chapter.jvp(chapter.ops.sin, (x4,), ()),  # a tangent is missing
        lambda: chapter.vjp(chapter.ops.sin, x4)[1](x3),  # cotangent of another shape
        lambda: chapter.grad(chapter.ops.sum)(np.array([1, 2, 3])),  # integers have no derivative
        lambda: chapter.grad(chapter.ops.sum, 1)(x4),  # there is no argument 1
    ],
)
def test_bad_input_gets_a_clear_error(wrong):
    with pytest.raises((TypeError, ValueError, IndexError)) as caught:
        wrong()
    assert len(str(caught.value)) > 15


def test_at_least_thirty_primitives():
    names = dir(chapter.ops) + dir(chapter.ops.linalg)
    assert len([n for n in names if not n.startswith("_")]) >= 30


@pytest.mark.parametrize("name", ["jvp", "vjp", "grad of grad"])
def test_vmap_is_a_loop(name):
    o = chapter.ops
    f = lambda x: o.sum(o.tanh(A @ x) * o.exp(-x)) / (2 + o.sum(x * x)) + x[1] * x[-1] ** 3
    one = {
        "jvp": lambda x: chapter.jvp(f, (x,), (x4,))[1],
        "vjp": lambda x: chapter.vjp(f, x)[1](1.0)[0],
        "grad of grad": lambda x: chapter.grad(lambda y: o.sum(chapter.grad(f)(y) * x4))(x),
    }[name]
    batch = draw.normal(size=(5, 4))
    close(chapter.vmap(one)(batch), np.array([one(x) for x in batch]), 1e-11)


def test_vmap_of_solve_and_of_a_shared_argument():
    o = chapter.ops
    many = np.array([SPD + k * np.eye(4) for k in range(3)])
    solved = chapter.vmap(lambda a: o.linalg.solve(a, x4))(many)
    close(solved, np.linalg.solve(many, x4[:, None])[..., 0], 1e-11)
    slope = chapter.grad(lambda s: o.sum(chapter.vmap(lambda x: s * x * x)(x43)))(2.0)
    assert abs(slope - np.sum(x43**2)) < 1e-12


def test_a_trace_is_a_program():
    o = chapter.ops
    f = lambda x: o.sum(o.sin(x) * o.exp(x) / (1 + x[0] ** 2))
    written = chapter.trace(f, x4)
    other = x4 + 0.3
    close(written(other), f(other), 1e-14)
    close(chapter.grad(written)(other), chapter.grad(f)(other), 1e-13)
    close(chapter.trace(chapter.grad(f), x4)(other), chapter.grad(f)(other), 1e-13)
    close(chapter.trace(written, x4)(other), f(other), 1e-14)
    close(chapter.grad(chapter.jit(f))(other), chapter.grad(f)(other), 1e-13)
    assert "sin" in str(written) and "cos" not in str(written)


def test_jit_does_not_keep_what_it_closed_over():
    scale = lambda a: chapter.jit(lambda x: a * x)(3.0)
    assert [chapter.grad(scale)(a) for a in (1.0, 2.0)] == [3.0, 3.0]
    kept = []
    inner = chapter.jit(lambda x: kept[-1] * x)
    for a in (1.0, 2.0):
        assert chapter.grad(lambda a: (kept.append(a), inner(3.0))[1])(a) == 3.0


@pytest.mark.parametrize("transform", ["vmap", "jit"])
def test_no_branch_under_vmap_and_jit(transform):
    with pytest.raises(TypeError, match="cannot branch"):
        getattr(chapter, transform)(lambda x: x if x > 0 else -x)(np.ones(1))


@pytest.mark.parametrize("speed", [10.0, 12.0, 14.0, 16.0])
def test_the_bounce_with_its_missing_term(speed):
    program = lambda s: chapter.bounce(s, 1.0, 3000, 1e-3)
    height, slope = chapter.jvp(program, (speed,), (1.0,))
    exact_height, exact_slope = chapter.bounce_exact(np.array([speed]))
    assert abs(height - exact_height[0]) < 1e-4 and abs(slope - exact_slope[0]) < 0.02
    h = 1e-5
    ends = chapter.bounce_exact(np.array([speed - h, speed + h]))[0]
    assert abs(np.diff(ends)[0] / (2 * h) - exact_slope[0]) < 1e-8


def test_the_fourth_derivative_of_the_period_wants_a_forced_round():
    fourth = lambda k: chapter.nest(chapter.grad, lambda t: chapter.period(t, rounds=k), 4)(0.0)
    assert fourth(0) == 0.0625 and abs(fourth(1) - 11 / 128) < 1e-15


def test_taylor_of_a_constant_and_of_a_power():
    assert [float(d) for d in chapter.taylor(lambda x: 2.0, 1.0, 1.0, 2)] == [2.0, 0.0, 0.0]
    assert [float(d) for d in chapter.taylor(lambda x: x**3, 2.0, 1.0, 3)] == [8.0, 12.0, 12.0, 6.0]


def test_single_precision_is_widened_and_empty_arrays_pass():
    assert chapter.grad(chapter.ops.sum)(np.ones(3, np.float32)).dtype == np.float64
    assert chapter.grad(chapter.ops.sum)(np.ones(0)).shape == (0,)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: chapter.grad(np.sin)(1.0),
        lambda: chapter.grad(lambda x: np.sum(np.ones(2) * x))(1.0),
        lambda: chapter.ops.kron(x4, SPD),
        lambda: chapter.ops.einsum("...i->i", A),
        lambda: chapter.ops.einsum(A, [0, 1]),
        lambda: chapter.vmap(chapter.ops.sin)(1.0),
        lambda: chapter.vmap(lambda x, y: x + y)(x4, x3),
        lambda: chapter.vmap(chapter.ops.sort)(x43),
        lambda: chapter.grad(lambda x: x * 1j)(1.0),
        lambda: chapter.ops.linalg.eigvalsh(np.array([[0, -1j], [1j, 0]])),
        lambda: chapter.ops.linalg.cholesky(np.array([[2, 1j], [-1j, 2]])),
        lambda: chapter.ops.linalg.norm(np.array([3j, 4])),
        lambda: chapter.ops.var(np.array([1j, -1j])),
        lambda: chapter.trace(chapter.ops.mean, x3)(x4),
        lambda: chapter.trace(lambda x, y: x * y, 2.0, 3.0)(5.0),
        lambda: chapter.bounce_exact(np.array([2.0])),
    ],
)
def test_refusals_are_sentences(wrong):
    with pytest.raises((TypeError, ValueError, NotImplementedError)) as caught:
        wrong()
    words = str(caught.value)
    assert len(words.split()) > 4 and "object" not in words


def test_a_written_program_refuses_other_kinds_of_numbers():
    for f, first, later in (
        (lambda x: 1 / x + x**2, np.ones(2), np.array([10**10, 2])),
        (lambda x: chapter.ops.sum(x * x), np.ones(2), np.array([1j, 2j])),
    ):
        run = chapter.jit(f)
        run(first)
        with pytest.raises(TypeError, match="real floats"):
            run(later)


def test_nan_passes_through_the_safe_root():
    o = chapter.ops
    nan = [chapter.safe_root(-1.0), chapter.safe_norm(np.array([np.nan, 1.0]))]
    nan.append(o.std(np.array([np.nan, 1.0])))
    assert np.isnan(nan).all() and chapter.grad(chapter.safe_root)(0.0) == 0


def some_numbers(names):
    """What a few programs give in the names of the chapter's cells."""
    o, f = names["ops"], lambda x: names["ops"].sum(x[1:] * x[:-1] * names["ops"].sin(x[0]))
    yield names["grad"](lambda x: o.tanh(x @ x) + o.max(x) + o.std(x))(np.array([0.3, 0.5, 1.0]))
    yield names["vmap"](names["grad"](f))(np.arange(6.0).reshape(2, 3))
    yield o.stack([np.ones(2), np.zeros(2)], axis=1)
    yield names["taylor"](o.tanh, 0.3, 1.0, 4)
    yield names["hvp"](o.prod, np.array([1.0, 2.0, 3.0]), np.ones(3))
    yield names["jit"](lambda x: o.sum(o.exp(x)))(np.ones(2))
    yield names["operations"](f, np.ones(4))
    yield names["grad"](names["cut_comb"])(np.ones(4), np.ones(2))
    with pytest.raises(TypeError, match="real floats"):  # strict, as the appendix left it
        names["grad"](o.sin)(3)


def test_a_cell_that_runs_again_changes_nothing():
    names: dict = {"__name__": "again"}
    cells = [c for c in read(path_of("lectures", "02_autodiff")).cells if c.cell_type == "code"]
    cells = [c for c in cells if {"setup", "define"} & set(tags(c))]
    run = lambda c: exec(compile(c.source, f"<again#{c['id']}>", "exec"), names)
    for cell in cells:
        run(cell)
    once = repr([*some_numbers(names)])
    for cell in cells[1:]:
        run(cell)
        assert repr([*some_numbers(names)]) == once, cell["id"]
