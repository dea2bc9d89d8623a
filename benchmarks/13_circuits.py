"""Energy and gradient of the circuit of chapter 13, beside PennyLane's lightning.qubit (adjoint)
and qulacs (backprop), one thread each.

`python benchmarks/13_circuits.py train` runs 100 training steps at depth 10,000 instead, and
writes their curve.
"""

import os
import sys

os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
import jax
import jax.numpy as jnp
import numpy as np
import table

import course

ch = course.load("13_circuits")
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}) if hasattr(
    os, "sched_setaffinity"
) else None


def gates(n, d):
    """(gate, qubits) in the order of theta."""
    for k in range(d + 1):
        for q in range(n):
            yield from ((s, (q,)) for s in ("XZ" if k == 0 else "ZX" if k == d else "ZXZ"))
        yield from (("CNOT", (i, (i + 1) % n)) for i in range(n if k < d else 0))


def ours(theta, n, d):
    theta = jnp.asarray(theta)
    f = lambda: jax.block_until_ready(ch.energy_and_grad(theta, n, d))
    return f, lambda: np.asarray(f()[1])


def pennylane(theta, n, d):
    """Adjoint differentiation of a ready tape by the device itself: building the tape and QNode
    overheads are not counted."""
    import pennylane as qml

    it = iter(theta)
    make = {"X": qml.RX, "Z": qml.RZ}
    operations = [qml.CNOT(q) if s == "CNOT" else make[s](next(it), q[0]) for s, q in gates(n, d)]
    bonds = [(i, (i + 1) % n) for i in range(n)]
    H = qml.Hamiltonian(
        [1.0] * 3 * n, [P(i) @ P(j) for P in (qml.PauliX, qml.PauliY, qml.PauliZ) for i, j in bonds]
    )
    tape = qml.tape.QuantumScript(operations, [qml.expval(H)], trainable_params=range(len(theta)))
    device = qml.device("lightning.qubit", wires=n)
    config = qml.devices.ExecutionConfig(gradient_method="adjoint")
    program, config = device.preprocess(config) if hasattr(device, "preprocess") else (None, config)
    (tape,), _ = program((tape,))
    f = lambda: device.execute_and_compute_derivatives((tape,), config)
    return f, lambda: np.array(f()[1][0]).reshape(-1)


def qulacs(theta, n, d):
    """Backprop of a ParametricQuantumCircuit. Its rotations are exp(+i t/2); its qubit 0 is the
    last bit, which the ring does not see."""
    from qulacs import Observable, ParametricQuantumCircuit

    circuit, it = ParametricQuantumCircuit(n), iter(theta)
    for s, q in gates(n, d):
        if s == "CNOT":
            circuit.add_CNOT_gate(*q)
        else:
            (circuit.add_parametric_RX_gate if s == "X" else circuit.add_parametric_RZ_gate)(
                q[0], -next(it)
            )
    H = Observable(n)
    for i in range(n):
        for p in "XYZ":
            H.add_operator(1.0, f"{p} {i} {p} {(i + 1) % n}")
    f = lambda: circuit.backprop(H)
    return f, lambda: -np.array(f())


def compare():
    rows = []
    for n, d in [
        (10, 100),
        (10, 1000),
        (10, 10000),
        (4, 100),
        (6, 100),
        (8, 100),
        (12, 100),
        (14, 30),
        (16, 10),
        (18, 3),
        (20, 2),
    ]:
        theta = np.random.default_rng(n + d).uniform(0, 2 * np.pi, n * (3 * d + 1))
        made = [maker(theta, n, d) for maker in (ours, pennylane, qulacs)]
        gradients = [gradient() for _, gradient in made]  # also the warm-up
        error = max(abs(g - gradients[0]).max() for g in gradients[1:])
        a, b, c = table.in_turns([f for f, _ in made], 6.0)
        rows.append(
            [
                str(n),
                f"{d:,}",
                f"{theta.size:,}",
                f"{1e3 * a:.3g}",
                f"{1e3 * b:.4g}",
                f"{1e3 * c:.4g}",
                f"{b / a:.1f}",
                f"{c / a:.1f}",
                f"{error:.0e}",
            ]
        )
        print(rows[-1], flush=True)
    table.write(
        "13_circuits",
        "Energy and gradient of a circuit, chapter 13's reversible rule beside its peers",
        [
            "qubits",
            "depth",
            "angles",
            "ours (ms)",
            "lightning.qubit adjoint (ms)",
            "qulacs backprop (ms)",
            "lightning/ours",
            "qulacs/ours",
            "largest difference of the gradients",
        ],
        rows,
        ["pennylane", "pennylane-lightning", "qulacs", "jax", "numpy"],
        "One thread each, 64 bit; the three take turns, the fastest of at least three calls. "
        "Building PennyLane's tape and qulacs' circuit is not counted, nor is our compilation. "
        "qulacs' backprop returns the gradient without the energy.",
    )


def train(steps=100, n=10, d=10000):
    import optax

    theta = jnp.asarray(
        np.random.default_rng(1).uniform(0, 2 * np.pi, n * (3 * d + 1)), jnp.float32
    )
    optimiser, exact = optax.adam(3e-4), ch.ground_energy(ch.heisenberg, n)
    state, curve = optimiser.init(theta), []
    for k in range(steps + 1):
        e, g = ch.energy_and_grad(theta, n, d)
        update, state = optimiser.update(g, state)
        theta = optax.apply_updates(theta, update)
        curve.append([str(k), f"{e:.6f}", f"{(float(e) - exact) / abs(exact):.2e}"])
        print(*curve[-1], flush=True)
    table.write(
        "13_circuits_train",
        "Training 300,010 angles: 10 qubits, depth 10,000",
        ["step", "energy", "relative error"],
        curve,
        ["jax", "optax"],
        "Adam, rate 3e-4, complex64 (energies are good to about 1e-5), uniform random start; "
        f"exact energy {exact:.10f}.",
    )


if __name__ == "__main__":
    train() if "train" in sys.argv[1:] else compare()
