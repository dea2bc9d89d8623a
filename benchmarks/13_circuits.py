"""Energy and gradient of the circuit of chapter 13, beside PennyLane's lightning.qubit (adjoint)
and qulacs (backprop), one thread each, in three columns: the whole call as a user makes it for new
angles, the peer's compiled kernel alone, and ours.

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


def ours(theta, n):
    theta = jnp.asarray(theta)
    return lambda: jax.block_until_ready(ch.energy_and_grad(theta, n))


def pennylane(theta, n, d):
    """Two functions: the whole call, `qml.grad` of a QNode, which runs the circuit from Python and
    serialises its gates each time; and the C++ adjoint on gates, observable and final state that
    are ready (the gradient alone)."""
    import pennylane as qml
    from pennylane_lightning.lightning_qubit._adjoint_jacobian import LightningAdjointJacobian
    from pennylane_lightning.lightning_qubit._state_vector import LightningStateVector

    bonds = [(i, (i + 1) % n) for i in range(n)]
    paulis = (qml.PauliX, qml.PauliY, qml.PauliZ)
    H = qml.Hamiltonian([1.0] * 3 * n, [P(i) @ P(j) for P in paulis for i, j in bonds])
    make = {"X": qml.RX, "Z": qml.RZ}

    def apply(theta):
        angles = iter(theta)
        return [
            qml.CNOT(q) if s == "CNOT" else make[s](next(angles), q[0]) for s, q in ch.ansatz(n, d)
        ]

    device = qml.device("lightning.qubit", wires=n)

    @qml.qnode(device, diff_method="adjoint")
    def circuit(theta):
        apply(theta)
        return qml.expval(H)

    gradient = qml.grad(circuit)
    trainable = qml.numpy.array(theta, requires_grad=True)
    tape = qml.tape.QuantumScript(apply(theta), [qml.expval(H)], trainable_params=range(len(theta)))
    state = LightningStateVector(num_wires=n).get_final_state(tape)
    adjoint = LightningAdjointJacobian(state)
    ready = adjoint._process_jacobian_tape(tape)
    parts = [ready[k] for k in ("state_vector", "obs_serialized", "ops_serialized", "tp_shift")]
    kernel = lambda: np.array(adjoint._jacobian_lightning(*parts)).reshape(-1)
    return lambda: np.array(gradient(trainable)), kernel


def qulacs(theta, n, d):
    """Two functions: new angles set one by one from Python and backprop; backprop alone (the
    gradient without the energy). Its rotations are exp(+i t/2); its qubit 0 is the last bit, which
    the ring does not see."""
    from qulacs import Observable, ParametricQuantumCircuit

    circuit, it = ParametricQuantumCircuit(n), iter(theta)
    for s, q in ch.ansatz(n, d):
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

    def kernel():
        return -np.array(circuit.backprop(H))

    def call():
        for k, t in enumerate(theta):
            circuit.set_parameter(k, -t)
        return kernel()

    return call, kernel


def compare():
    """The depth is 100 for all numbers of qubits up to 14, and 10 qubits have three depths."""
    rows = []
    sizes = [(n, 100) for n in (4, 6, 8, 10, 12, 14)] + [(10, 1000), (10, 10000)]
    sizes += [(n, 4) for n in (14, 16, 18, 20)]
    for n, d in sizes:
        theta = np.random.default_rng(n + d).uniform(0, 2 * np.pi, n * (3 * d + 1))
        functions = [ours(theta, n), *pennylane(theta, n, d), *qulacs(theta, n, d)]
        results = [f() for f in functions]  # also the warm-up
        mine = np.asarray(results[0][1])
        error = max(abs(g - mine).max() for g in results[1:])
        a, *peers = 1e3 * table.in_turns(functions, 8.0)
        numbers = [f"{t:.3g}" for t in (*peers, a)]
        ratios = [f"{t / a:.1f}" for t in (peers[1], peers[3])]
        rows.append([str(n), f"{d:,}", f"{theta.size:,}", *numbers, *ratios, f"{error:.0e}"])
        print(rows[-1], flush=True)
    table.write(
        "13_circuits",
        "Energy and gradient of a circuit, chapter 13's reversible rule beside its peers",
        [
            "qubits",
            "depth",
            "angles",
            "PennyLane, whole call (ms)",
            "lightning's C++ adjoint alone (ms)",
            "qulacs, angles and backprop (ms)",
            "qulacs' backprop alone (ms)",
            "ours, energy and gradient (ms)",
            "lightning's kernel / ours",
            "qulacs' kernel / ours",
            "largest difference of the gradients",
        ],
        rows,
        ["pennylane", "pennylane-lightning", "qulacs", "jax", "numpy"],
        "One thread each, 64 bit; the functions take turns, the fastest of at least three calls. "
        "Whole call: new angles into a circuit that exists, and out comes a gradient. PennyLane's "
        "includes the run from Python and the serialisation of gates; its kernel has gates, "
        "observable and final state ready and gives the gradient alone; qulacs' gives the gradient "
        "without the energy. Ours has no other parts; its compilation, a second or two for each "
        "number of qubits and depth, is not counted.",
    )


def train(steps=100, n=10, d=10000):
    import optax

    theta = jnp.asarray(
        np.random.default_rng(1).uniform(0, 2 * np.pi, n * (3 * d + 1)), jnp.float32
    )
    optimiser, exact = optax.adam(3e-4), ch.ground_energy(ch.heisenberg, n)
    state, curve = optimiser.init(theta), []
    for k in range(steps + 1):
        _, g = ch.energy_and_grad(theta, n)
        e = ch.energy(theta.astype(float), n)
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
        "Adam, rate 3e-4, gradients in complex64, energies evaluated in 64 bit, uniform start; "
        f"exact energy {exact:.10f}.",
    )


if __name__ == "__main__":
    train() if "train" in sys.argv[1:] else compare()
