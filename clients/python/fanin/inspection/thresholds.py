"""Every threshold of the inspection, each with its reason."""

from __future__ import annotations

from statistics import NormalDist

ALPHA = 1e-6
"""Probability that chance alone causes a statistical finding in one inspection of sound weights.

Each test gets an equal share of it (Bonferroni), so the number of tensors does not change this probability. Faults of
initialization differ by factors, not by percents, so the strict level hides none of them in a tensor of 1,000 elements.
"""
SAMPLE = 1 << 16
"""Elements of a tensor for the Kolmogorov-Smirnov distance and, in types of 32 and 64 bits, for distinct values.

At the level ALPHA / 1000, the distance resolves 1.3 % of probability: a standard deviation that differs by 6 %.
"""
HEAD = 1 << 21
"""First elements of a tensor for equal rows and singular values; 16 MiB in the largest type."""
BLOCK = 1 << 20
"""Elements that are read at a time."""
EXACT_SPECTRUM = 512
"""Rows or columns up to which all singular values are computed; larger matrices have the largest one only."""
FEWEST = 64
"""Elements below which the standard deviation of a tensor does not distinguish one formula from another."""
FAMILY = 256
"""Elements below which bounds do not distinguish a uniform from a normal distribution.

All of 256 normal elements lie within 1.9 standard deviations with a probability of 3e-7; uniform ones end at 1.73."""
ENTROPY_BITS = 64
"""Bits of randomness in two equal tensors or rows, above which coincidence has a probability below 2^-64."""
GARBAGE_SPAN = 2.0**64
"""Ratio of the largest to the smallest nonzero magnitude that no draw has.

The smallest normal number of this library is 2^-31.7 standard deviations, and a uniform one has 24 random bits.
"""
GARBAGE_SHARE = 1e-3
"""Share of elements that must lie that far below the largest: one tiny number can be the result of training."""
COARSE = 4
"""Factor by which distinct values fall short of those of a normal draw before the tensor is called coarse (a note).

A uniform draw has between half and all of the values of a normal draw of the same size."""
COLLAPSED = 16
"""The same factor for a warning: the tensor has at most 1/16 of the values of its type that it should have."""
UNDERFLOW = 0.25
"""Share of elements rounded to zero for a warning. A normal draw then has a standard deviation of 3 smallest numbers,
and storage changes a weight by a tenth of the deviation and more."""
LOST = 2.0**10
"""Ratio of signals, between the first and the last of equal layers, for a warning.

float16 has 11 significant bits: in a sum of two numbers with this ratio it keeps at most one bit of the smaller one.
Residual sums of sound networks grow with the root of the depth, which reaches it at a million layers.
"""
CHAIN = 4
"""Equal layers in a row from which growth by depth is judged: fewer show a trend of a single layer."""
GAIN = 8.0
"""Gain of one linear layer for a warning. The largest gain in published initializers is 5/3, for tanh. A layer of gain
8 multiplies the variance by 64, and four of them exceed LOST."""
SAME = 1.25
"""Factor by which a layer's deviation must differ from that of its equals, beside significance: designs that scale
single layers do so by at least the root of 2, which is larger."""
FLOOR = 0.004
"""Relative difference of two deviations that rounding to BF16, of 8 bits, can cause."""
NUMBERS = 4.0
"""Standard errors from a standard deviation that is given as a number, within which fans are not the explanation.

A draw of that number exceeds them with a probability of 6e-5, and must also be within NEAR of a wrong formula."""
NEAR = 3.0
"""Standard errors from the formula with the wrong fans, within which it explains the deviation: 99.7 % of such draws.
"""


def level(tests: int) -> float:
    """Return the probability that each of `tests` tests may err with."""
    return ALPHA / max(tests, 1)


def deviations(tests: int) -> float:
    """Return the number of standard errors that a two-sided test at this level allows."""
    return NormalDist().inv_cdf(1 - level(tests) / 2)
