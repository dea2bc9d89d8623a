"""ln Z of the critical Ising model and its derivative by chapter 9, beside tensorgrad in PyTorch.

tensorgrad (Liao, Liu, Wang, Xiang, PRX 2019) is the public program of the same algorithm: two SVDs
a step, a broadened rule, reverse mode. It has no release:
`pip install git+https://github.com/wangleiphy/tensorgrad@732bd6430e86f1b69a8615045ca5b6399ad73061`."""

import os

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
import table  # noqa: I001  (sets the threads before anything is imported)
import jax
import numpy as np
import torch

import course

try:
    from tensornets import TRG
except ModuleNotFoundError:
    print(f"tensorgrad is not installed, 09_trg is left out. {__doc__}")
    raise SystemExit from None

ch = course.load("09_trg")
torch.set_num_threads(1)
STEPS = 28  # halvings: 2^28 sites on both sides
K = 0.4406867935


def ising(beta):
    """tensorgrad's tensor of the Ising model, from its 1_ising_TRG/ising.py."""
    lam = [2 * torch.cosh(beta), 2 * torch.sinh(beta)]
    zero = torch.zeros((), dtype=beta.dtype)
    entries = [
        zero if sum(legs) % 2 else torch.sqrt(torch.stack([lam[i] for i in legs]).prod()) / 2
        for legs in np.ndindex(2, 2, 2, 2)
    ]
    return torch.stack(entries).view(2, 2, 2, 2)


def peer(chi):
    """(value alone, value and gradient) of tensorgrad."""
    beta = torch.tensor(K, dtype=torch.float64, requires_grad=True)

    def value():
        with torch.no_grad():
            return TRG(ising(beta), chi, STEPS).item()

    def both():
        lnz = TRG(ising(beta), chi, STEPS)
        return lnz.item(), torch.autograd.grad(lnz, beta)[0].item()

    return value, both


def peer_decompositions(chi):
    """The SVDs alone that tensorgrad's forward pass spends: two a step, at full size but for the
    first three steps."""
    M = torch.from_numpy(np.random.default_rng(0).normal(size=(chi**2, chi**2)))
    M = M * torch.exp(-torch.arange(chi**2) / chi)

    def run():
        for _ in range(2 * (STEPS - 3)):
            torch.svd(M)

    return run


def ours(f, chi):
    """(call as a user makes it, compiled kernel) of value and forward derivative of `f`."""
    pair = lambda k: jax.jvp(lambda k: f(k, chi, STEPS), (k,), (1.0,))
    jitted, kernel = jax.jit(pair), jax.jit(pair).lower(K).compile()
    return (
        lambda: [float(x) for x in jitted(K)],
        lambda: jax.block_until_ready(kernel(K)),
    )


def compare():
    rows = []
    for chi in (8, 16, 24):
        mirror, mirror_kernel = ours(ch.lnz, chi)
        general = lambda k, chi, steps: ch.lnz_plain(k, chi, steps, ch.safe_svd)
        svds, svds_kernel = ours(general, chi)
        value, both = peer(chi)
        a, b, c = mirror(), svds(), both()
        functions = [
            mirror,
            mirror_kernel,
            svds,
            svds_kernel,
            value,
            both,
            peer_decompositions(chi),
        ]
        for f in functions:
            f()
        t = table.in_turns(functions, 20.0)
        difference = max(abs(a[1] - c[1]), abs(b[1] - c[1]))
        rows.append(
            [str(chi), *(f"{x:.3g}" for x in t), f"{t[5] / t[0]:.1f}", f"{t[5] / t[2]:.1f}"]
        )
        rows[-1] += [f"{abs(a[0] - c[0]):.0e}", f"{difference:.0e}"]
        print(rows[-1], flush=True)
    table.write(
        "09_trg",
        "ln Z and its derivative, 2^28 critical Ising spins, chapter 9 beside tensorgrad (PyTorch)",
        [
            "χ",
            "one eigh a step (s)",
            "its kernel (s)",
            "two SVDs a step (s)",
            "its kernel (s)",
            "tensorgrad, value only (s)",
            "tensorgrad, value and gradient (s)",
            "of which forward SVDs (s)",
            "tensorgrad/eigh",
            "tensorgrad/SVDs",
            "difference of ln Z/N",
            "of its derivative",
        ],
        rows,
        ["torch", "jax", "numpy"],
        "One thread each, 64 bit; all take turns, the fastest of at least three calls. Value and "
        "derivative, forward mode for ours, reverse for tensorgrad; a kernel is the compiled "
        "program without the call from Python; our compilation, some seconds "
        "once for each χ, is not counted. The column of SVDs times decompositions of the same "
        "sizes alone: it is "
        "where the time goes. One eigh a step needs the symmetries of the square, two SVDs a step "
        "need none: the last is the same algorithm. Ours closes 4 tensors to a torus after 26 "
        "steps, tensorgrad one after 28: the difference of ln Z is that, and small.",
    )


if __name__ == "__main__":
    compare()
