"""The controller of REINFORCE: a small LSTM that draws the options of an architecture in sequence.

Its operations are so small that the overhead of PyTorch would dominate, so the passes are written
in numpy. tests/searchers/test_controller.py compares its gradients with those of PyTorch.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

from foretell.spaces.space import Arch

__all__ = ["Controller"]

Floats: TypeAlias = "np.ndarray[Any, np.dtype[np.float32]]"
Whole: TypeAlias = "np.ndarray[Any, np.dtype[np.int64]]"
BETAS = (0.9, 0.999)
SCALE = np.array([0.5, 0.5, 1.0, 0.5], dtype=np.float32)  # sigmoid(x) = tanh(x / 2) / 2 + 1 / 2
SHIFT = np.array([0.5, 0.5, 0.0, 0.5], dtype=np.float32)


class Controller:
    """An LSTM that reads the options chosen so far and predicts those at the next position.

    `options` is the number of options at each position. If `listed` is given, only these
    architectures are drawn. Initially all possible options are equally likely; the other weights
    are initialised from the seed. The optimiser is Adam.

    >>> controller = Controller((3, 2), hidden=4, lr=0.05, seed=0)
    >>> for _ in range(50):
    ...     controller.learn([(2, 1)], advantages=[1.0], entropy=0.0)
    >>> controller.draw(np.random.default_rng(0), 100).count((2, 1)) > 90
    True
    """

    def __init__(
        self,
        options: tuple[int, ...],
        hidden: int,
        lr: float,
        seed: int,
        listed: Sequence[Arch] | None = None,
    ) -> None:
        self._hidden = hidden
        self._lr = lr
        self._first = np.cumsum([0, *options[:-1]])
        self._start = sum(options)
        self._following = followed(options) if listed is None else tree(listed, max(options))
        shapes = {
            "read": (self._start + 1, 4 * hidden),
            "recall": (hidden, 4 * hidden),
            "out": (len(options), hidden, max(options)),
        }
        sizes = [int(np.prod(shape)) for shape in shapes.values()]
        self._flat, self._slopes, self._mean, self._square = np.zeros(
            (4, sum(sizes)), dtype=np.float32
        )
        self._steps = 0
        self.weights = views(self._flat, shapes)
        """`read`: an option (or the start token) to gates; `recall`: state to gates; `out`."""
        self.gradients = views(self._slopes, shapes)
        rng = np.random.default_rng(seed)
        for name in ("read", "recall"):
            self.weights[name][:] = rng.uniform(-0.1, 0.1, shapes[name])

    def draw(self, rng: np.random.Generator, count: int) -> list[Arch]:
        """Draw `count` architectures, option by option."""
        words = np.full(count, self._start)
        state = memory = np.zeros((count, self._hidden), dtype=np.float32)
        chosen = np.empty((count, len(self._first)), dtype=int)
        nodes = np.zeros(count, dtype=int)
        for position, first in enumerate(self._first):
            state, memory, _ = self._step(self.weights["read"][words], state, memory)
            logits = state @ self.weights["out"][position]
            logits[self._following[nodes] < 0] = -np.inf
            ends = np.exp(logits - logits.max(axis=1, keepdims=True)).cumsum(axis=1)
            picks = rng.random((count, 1)) * ends[:, -1:]
            chosen[:, position] = (ends <= picks).sum(axis=1)
            nodes = self._following[nodes, chosen[:, position]]
            words = first + chosen[:, position]
        return [tuple(row) for row in chosen.tolist()]

    def learn(self, archs: Sequence[Arch], advantages: Sequence[float], entropy: float) -> None:
        """Take a gradient ascent step on mean(advantage × log-probability + entropy × entropy)."""
        self.slopes(archs, advantages, entropy)
        self._steps += 1
        first, second = BETAS
        self._mean += (1 - first) * (self._slopes - self._mean)
        self._square += (1 - second) * (self._slopes * self._slopes - self._square)
        rate = self._lr / (1 - first**self._steps)
        root = np.sqrt(self._square / np.float32(1 - second**self._steps))
        self._flat += np.float32(rate) * self._mean / (root + np.float32(1e-8))

    def slopes(self, archs: Sequence[Arch], advantages: Sequence[float], entropy: float) -> None:
        """Compute the gradient of that objective into `gradients`."""
        chosen = np.array(archs).T
        words = np.full_like(chosen, self._start)
        words[1:] = chosen[:-1] + self._first[:-1, None]
        states, memories, gates = self._read(words)
        out = self.weights["out"]
        logits = states[1:] @ out
        logits[self._following[self._nodes(chosen)] < 0] = -np.inf
        shares, logs = softmax(logits)
        even = (shares * logs).sum(axis=2, keepdims=True)
        taken = np.arange(shares.shape[2]) == chosen[:, :, None]
        rise = np.array(advantages, dtype=np.float32)[:, None] * (taken - shares)
        rise -= np.float32(entropy) * shares * (logs - even)
        rise /= np.float32(len(archs))
        blame = self._blame(rise @ out.transpose(0, 2, 1), memories, gates)
        self.gradients["out"][:] = states[1:].transpose(0, 2, 1) @ rise
        before = states[:-1].reshape(-1, self._hidden)
        self.gradients["recall"][:] = before.T @ blame
        self.gradients["read"][:] = 0
        np.add.at(self.gradients["read"], words.reshape(-1), blame)

    def _nodes(self, chosen: Whole) -> Whole:
        """The node of the tree that each architecture has reached before each option."""
        nodes = np.zeros_like(chosen)
        for position in range(1, len(chosen)):
            nodes[position] = self._following[nodes[position - 1], chosen[position - 1]]
        return nodes

    def _read(self, words: Whole) -> tuple[Floats, Floats, Floats]:
        """The states and memories before and after each token, and the values of the gates."""
        count, width = words.shape
        states, memories = np.zeros((2, count + 1, width, self._hidden), dtype=np.float32)
        gates = np.empty((count, width, 4, self._hidden), dtype=np.float32)
        for number, entered in enumerate(self.weights["read"][words]):
            step = self._step(entered, states[number], memories[number])
            states[number + 1], memories[number + 1], gates[number] = step
        return states, memories, gates

    def _step(
        self, entered: Floats, state: Floats, memory: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """The next state and memory, and the gates: input, forget, content, output."""
        gates = (entered + state @ self.weights["recall"]).reshape(-1, 4, self._hidden)
        gates *= SCALE[:, None]
        np.tanh(gates, out=gates)
        gates *= SCALE[:, None]
        gates += SHIFT[:, None]
        memory = gates[:, 1] * memory + gates[:, 0] * gates[:, 2]
        return gates[:, 3] * np.tanh(memory), memory, gates

    def _blame(self, into: Floats, memories: Floats, gates: Floats) -> Floats:
        """Backpropagate from the states to the pre-activations of the gates."""
        squashed = np.tanh(memories[1:])
        opened = gates[:, :, 3] * (1 - squashed * squashed)
        bent = gates * (1 - gates)
        bent[:, :, 2] = 1 - gates[:, :, 2] * gates[:, :, 2]
        bent[:, :, 0] *= gates[:, :, 2]
        bent[:, :, 1] *= memories[:-1]
        bent[:, :, 2] *= gates[:, :, 0]
        bent[:, :, 3] *= squashed
        blame = np.empty_like(gates)
        recall = self.weights["recall"].T
        later = kept = np.zeros_like(into[0])
        for number in range(len(gates) - 1, -1, -1):
            state = into[number] + later
            kept = kept + state * opened[number]
            blame[number, :, :3] = kept[:, None] * bent[number, :, :3]
            blame[number, :, 3] = state * bent[number, :, 3]
            kept = kept * gates[number, :, 1]
            later = blame[number].reshape(len(kept), -1) @ recall
        return blame.reshape(-1, 4 * self._hidden)


def followed(options: tuple[int, ...]) -> Whole:
    """The tree of all architectures in the format of `tree`, with one node per position.

    >>> followed((1, 2)).tolist()
    [[1, -1], [0, 0]]
    """
    after = np.array([*range(1, len(options)), 0])[:, None]
    return np.where(np.arange(max(options)) < np.array(options)[:, None], after, -1)


def tree(archs: Sequence[Arch], most: int) -> Whole:
    """One row per prefix of an architecture: the row that follows each option, or -1.

    >>> tree([(0, 1), (1, 1)], 2).tolist()
    [[1, 2], [-1, 0], [-1, 0]]
    """
    rows = [[-1] * most]
    for arch in archs:
        node = 0
        for option in arch[:-1]:
            if rows[node][option] < 0:
                rows[node][option] = len(rows)
                rows.append([-1] * most)
            node = rows[node][option]
        rows[node][arch[-1]] = 0  # complete: no row follows
    return np.array(rows)


def views(flat: Floats, shapes: dict[str, tuple[int, ...]]) -> dict[str, Floats]:
    """Views of consecutive parts of a vector with the given shapes."""
    ends = np.cumsum([np.prod(shape) for shape in shapes.values()])
    parts = np.split(flat, ends[:-1])
    return {name: part.reshape(shapes[name]) for name, part in zip(shapes, parts, strict=True)}


def softmax(logits: Floats) -> tuple[Floats, Floats]:
    """The probabilities and their logarithms, which are finite even where a probability is 0."""
    logs = logits - logits.max(axis=-1, keepdims=True)
    logs = logs - np.log(np.exp(logs).sum(axis=-1, keepdims=True))
    return np.exp(logs), np.maximum(logs, np.float32(-1e9))
