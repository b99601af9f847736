"""az_trainability: does each block preserve the size of the gradient?

Lee and Ham 2024, "AZ-NAS", arXiv:2403.19232.
"""

from torch import Tensor


def az_trainability(block_gains: Tensor, epsilon: float = 1e-6) -> Tensor:
    """The mean over blocks of 2 − s − 1/(s + ε), s being the gain of the block.

    The gradient of the block's output, g_out, is a random sign for each element, and a backward
    pass through this block alone gives the gradient of its input, g_in. The gain is the largest
    singular value of the mean of g_in g_outᵀ over all samples and positions; if the block has a
    stride, the positions of g_in that map to one position of g_out become channels. The maximum is
    0, reached if s = 1 everywhere. If a block passes the signs on unchanged, the score is its lower
    bound 2 − 1/ε; the authors define −∞, which gives the same rank. In evaluation mode, such blocks
    are left out, as in the authors' code for transformers. Boundaries, weights, inputs and mode are
    as in `az_expressivity`. Undefined without repeated blocks, and if the stride of a block is not
    an integer.

    Limitations: in small minibatches, the mean is over few positions, and its noise increases s. It
    says nothing about sizes that shrink in one block and grow in the next.

    >>> from torch import tensor
    >>> az_trainability(tensor([1.0, 2.0]))  # the mean of 0 and −1/2
    tensor(-0.2500, dtype=torch.float64)
    """
    s = block_gains.double()
    if s.isinf().any():
        return s.new_tensor(2 - 1 / epsilon)
    if not s.isfinite().all():
        raise ArithmeticError("the gradient of a block exceeds the range of floats")
    return (2 - s - 1 / (s + epsilon)).mean()
