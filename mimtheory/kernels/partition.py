"""The fixed partition of the samples that makes sums the same for any number of threads, and what it costs in rounding.

n rows are split into LEAVES equal parts, a constant of the code and not of the machine, and every leaf into blocks of
ROWS rows. A block is summed row after row, GROUP blocks make a group, GROUP groups a section; sections add up to the
leaf and leaves, in order, to the total. An inner product is summed over pieces of DEPTH terms.
"""

__all__ = ["DEPTH", "GROUP", "LEAVES", "ROWS", "leaf_start", "product_roundings", "roundings"]

LEAVES = 16
ROWS = 32
GROUP = 16
DEPTH = 64


def leaf_start(leaf: int, n: int) -> int:
    """First row of a leaf."""
    return leaf * n // LEAVES


def product_roundings(d: int) -> int:
    """Roundings on the longest path from an input to an inner product of d terms.

    The product of a term, min(d, DEPTH) additions in a piece, ceil(d/DEPTH) additions of pieces; for few neurons the
    terms are spread over at most 16 lanes, which takes 4 more additions and one for what is left of a row.
    """
    return 1 + min(d, DEPTH) + -(-d // DEPTH) + 5


def roundings(n: int, d: int) -> int:
    """Roundings on the longest path from an input to an entry of a sum over n samples of inner products.

    The inner product, 3 products with what multiplies it, the product with x, the additions in a block, a group, a
    section, a leaf and of the leaves, and the division by n. The error of an entry is at most gamma(this) times the sum
    of the absolute values of its terms.
    """
    rows = -(-n // LEAVES)
    blocks = -(-rows // ROWS)
    groups = -(-blocks // GROUP)
    additions = min(rows, ROWS) + min(blocks, GROUP) + min(groups, GROUP) + -(-groups // GROUP)
    return product_roundings(d) + 4 + additions + LEAVES + 1
