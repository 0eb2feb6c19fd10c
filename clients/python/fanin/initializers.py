"""A function for each scheme, which returns one tensor as an array.

    >>> import fanin
    >>> fanin.he_normal((512, 256), seed=1, name="fc.weight").shape
    (512, 256)

Each returns what `fanin.materialize` returns for the recipe of that tensor alone. All of them take these arguments:

- `shape`: an integer or a sequence of integers. `()` is a scalar.
- `seed`: 0 to 2^64 - 1, or a string of its digits.
- `name`: the tensor's name. Tensors of one seed and one name have the same random numbers, so give each its name.
- `dtype`: the storage type, as in a recipe, or a type of NumPy, ml_dtypes, torch or JAX.
- `backend`: the name of the backend; by default the fastest one. `cuda` returns a CuPy array.

They raise `fanin.RecipeError` if an argument is wrong, and `fanin.BackendError` if the backend cannot be used here.
Written by docs/functions.py from fanin/schemes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from fanin.arrays import Array, one
from fanin.dtypes import DTypeLike

Shape = int | Sequence[int]
Seed = int | str
Axes = Sequence[int]


def zeros(
    shape: Shape,
    *,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Zeros: also the default of batch norm's beta and moving mean.

    Distribution of an element: 0.

    Source: Ioffe & Szegedy 2015 for batch norm.
    """
    return one("zeros", locals())


def ones(
    shape: Shape,
    *,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Ones: also the default of batch norm's gamma and moving variance.

    Distribution of an element: 1.

    Source: Ioffe & Szegedy 2015 for batch norm.
    """
    return one("ones", locals())


def constant(
    shape: Shape,
    *,
    value: float,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """One value everywhere. At an integer type it is an exact integer, at BOOL also true or false.

    Distribution of an element: value.

    Source: definition.
    """
    return one("constant", locals())


def uniform(
    shape: Shape,
    *,
    low: float,
    high: float,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Uniform on [low, high].

    Distribution of an element: U[low, high].

    Source: definition.
    """
    return one("uniform", locals())


def normal(
    shape: Shape,
    *,
    std: float,
    mean: float = 0.0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Normal distribution, not truncated.

    Distribution of an element: N(mean, std^2).

    Source: definition.
    """
    return one("normal", locals())


def truncated_normal(
    shape: Shape,
    *,
    std: float,
    mean: float = 0.0,
    low: float | None = -2.0,
    high: float | None = 2.0,
    bounds: Literal["std", "absolute"] = "std",
    corrected: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Normal distribution restricted to an interval.

    The bounds count standard deviations from the mean (Keras, JAX); `bounds: absolute` takes them as values of the
    tensor (torch). `low: null` or `high: null` leaves that side open. `std` is the standard deviation before the
    restriction; with `corrected`, it is that of the result.

    Distribution of an element: N(mean, s^2) restricted to [mean + low s, mean + high s]; s = std, or std / std(TN(low,
    high)) if corrected.

    Source: Johnson, Kotz & Balakrishnan, Continuous Univariate Distributions 1, section 13.10.
    """
    return one("truncated_normal", locals())


def variance_scaling(
    shape: Shape,
    *,
    scale: float = 1.0,
    mode: Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"] = "fan_in",
    distribution: Literal["uniform", "normal", "untruncated_normal", "truncated_normal"] = "truncated_normal",
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Zero mean, variance scale / n, n = fan_in, fan_out, their arithmetic or their geometric mean.

    `normal` and `untruncated_normal` are one distribution. `truncated_normal` is cut at two standard deviations and
    widened so that its variance after the cut is scale / n.

    Distribution of an element: U(+-sqrt(3 v)), N(0, v), or N(0, s^2) cut at 2 s with s = sqrt(v) / 0.8796...; v = scale
    / n.

    Source: He et al. 2015 (arXiv:1502.01852); Keras and JAX VarianceScaling.
    """
    return one("variance_scaling", locals())


def glorot_uniform(
    shape: Shape,
    *,
    gain: float = 1.0,
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Glorot (Xavier) uniform; `gain` multiplies the bound.

    Distribution of an element: U(+-gain sqrt(6 / (fan_in + fan_out))).

    Source: Glorot & Bengio 2010, equation 16.
    """
    return one("glorot_uniform", locals())


def glorot_normal(
    shape: Shape,
    *,
    gain: float = 1.0,
    truncated: bool = False,
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Glorot (Xavier) normal; `gain` multiplies the standard deviation.

    Not truncated, as in torch; `truncated` gives the distribution of Keras and JAX.

    Distribution of an element: N(0, gain^2 2 / (fan_in + fan_out)).

    Source: Glorot & Bengio 2010, equation 12.
    """
    return one("glorot_normal", locals())


def he_uniform(
    shape: Shape,
    *,
    mode: Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"] = "fan_in",
    negative_slope: float = 0.0,
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """He (Kaiming) uniform for ReLU, or for leaky ReLU of the given negative slope.

    Distribution of an element: U(+-sqrt(6 / ((1 + negative_slope^2) n))).

    Source: He et al. 2015 (arXiv:1502.01852), equations 10, 14 and 15.
    """
    return one("he_uniform", locals())


def he_normal(
    shape: Shape,
    *,
    mode: Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"] = "fan_in",
    negative_slope: float = 0.0,
    truncated: bool = False,
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """He (Kaiming) normal for ReLU, or for leaky ReLU of the given negative slope.

    Not truncated, as in the paper and torch; `truncated` gives the distribution of Keras and JAX.

    Distribution of an element: N(0, 2 / ((1 + negative_slope^2) n)).

    Source: He et al. 2015 (arXiv:1502.01852), equations 10, 14 and 15.
    """
    return one("he_normal", locals())


def lecun_uniform(
    shape: Shape,
    *,
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """LeCun uniform.

    Distribution of an element: U(+-sqrt(3 / fan_in)).

    Source: LeCun et al. 1998, Efficient BackProp, equation 16.
    """
    return one("lecun_uniform", locals())


def lecun_normal(
    shape: Shape,
    *,
    truncated: bool = False,
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """LeCun normal. Not truncated; `truncated` gives the distribution of Keras and JAX.

    Distribution of an element: N(0, 1 / fan_in).

    Source: LeCun et al. 1998, Efficient BackProp, equation 16.
    """
    return one("lecun_normal", locals())


def fan_uniform(
    shape: Shape,
    *,
    fan: int,
    gain: float = 1.0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Uniform within the inverse root of a given fan, such as for a bias, whose shape has no fan.

    torch's default for the weight and bias of linear and convolutional layers (fan = fan_in of the weight) and for
    every tensor of its recurrent ones (fan = hidden_size).

    Distribution of an element: U(+-gain / sqrt(fan)).

    Source: LeCun et al. 1998, Efficient BackProp; torch.nn.Linear.reset_parameters.
    """
    return one("fan_uniform", locals())


def siren(
    shape: Shape,
    *,
    omega: float = 30.0,
    first: bool = False,
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Layers with sine activations, sin(omega x); the first layer of the network has a different distribution.

    Distribution of an element: U(+-sqrt(6 / fan_in) / omega); first layer: U(+-1 / fan_in).

    Source: Sitzmann et al. 2020 (arXiv:2006.09661), section 3.2 and supplement 1.5.
    """
    return one("siren", locals())


def scaled_normal(
    shape: Shape,
    *,
    std: float,
    width: float = 1.0,
    depth: float = 1.0,
    cut: float | None = None,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Normal distribution whose standard deviation shrinks with the root of a width and of a depth.

    `depth` counts the residual branches that add up: 2 n_layer in GPT-2 and Megatron, n_layer in GPT-NeoX's single
    residual, 2 (i + 1) in layer i of torchtitan and OLMo. `width` is d_model in T5 and CLIP, the width multiplier
    in muP. `cut` truncates at this number of standard deviations.

    Distribution of an element: N(0, s^2), within +-cut s if there is a cut; s = std / sqrt(width depth).

    Source: Radford et al. 2019 (GPT-2), section 2.3; Shoeybi et al. 2019 (arXiv:1909.08053); Yang et al. 2022 (muP).
    """
    return one("scaled_normal", locals())


def small_init(
    shape: Shape,
    *,
    width: int,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Small normal distribution of transformers of this width, d_model.

    Distribution of an element: N(0, 2 / (5 width)).

    Source: Nguyen & Salazar 2019 (arXiv:1910.05895); GPT-NeoX small_init.
    """
    return one("small_init", locals())


def wang_init(
    shape: Shape,
    *,
    width: int,
    layers: int,
    cut: float | None = None,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Normal distribution of the output layers of GPT-NeoX, of this width and with this number of layers.

    GPT-J truncates it at two of these standard deviations and does not correct it: `cut` 2.

    Distribution of an element: N(0, s^2), within +-cut s if there is a cut; s = 2 / (layers sqrt(width)).

    Source: Wang & Komatsuzaki 2021 (mesh-transformer-jax); GPT-NeoX wang_init.
    """
    return one("wang_init", locals())


def deepnorm(
    shape: Shape,
    *,
    encoder_layers: int | None = None,
    decoder_layers: int | None = None,
    side: Literal["only", "encoder", "decoder"] = "only",
    distribution: Literal["normal", "uniform"] = "normal",
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """DeepNet's feed-forward, value and output projections: Glorot with a gain that shrinks with depth.

    This is the paper's distribution. torchscale's code applies the gain to another one, and has 1.15 for 0.87 in the
    encoder.

    Distribution of an element: glorot times b. With one stack of N layers b = (8 N)^(-1/4); with N encoder and M
    decoder layers: encoder 0.87 (N^4 M)^(-1/16), decoder (12 M)^(-1/4).

    Source: Wang et al. 2022 (arXiv:2203.00555), figure 2.
    """
    return one("deepnorm", locals())


def subln(
    shape: Shape,
    *,
    encoder_layers: int | None = None,
    decoder_layers: int | None = None,
    side: Literal["only", "encoder", "decoder"] = "only",
    distribution: Literal["normal", "uniform"] = "normal",
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Magneto's feed-forward, value and output projections: Glorot with a gain that grows with depth.

    This is the paper's distribution. torchscale's code applies the gain to another one, and has no gain in cross
    attention.

    Distribution of an element: glorot times g. With one stack of N layers g = sqrt(log(2 N)); with N encoder and M
    decoder layers: encoder sqrt(log(3 M) log(2 N) / 3), decoder sqrt(log(3 M)).

    Source: Wang et al. 2022 (arXiv:2210.06423), figure 2.
    """
    return one("subln", locals())


def fixup(
    shape: Shape,
    *,
    layers: int,
    branch_layers: int = 2,
    mode: Literal["fan_in", "fan_out", "fan_avg", "fan_geo_avg"] = "fan_in",
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Layers of a residual branch except the last, which is zero: He, scaled down with the number of branches.

    `layers` counts the branches, `branch_layers` the weight layers of one: 2 of a basic block, 3 of a bottleneck. The
    default of `mode` is `fan_in`, as in He; the official code uses `fan_out`.

    Distribution of an element: N(0, s^2), s = sqrt(2 / n) layers^(-1 / (2 branch_layers - 2)).

    Source: Zhang et al. 2019 (arXiv:1901.09321), section 3.
    """
    return one("fixup", locals())


def eye(
    shape: Shape,
    *,
    gain: float = 1.0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Identity matrices in the last two axes, which need not be equal.

    Distribution of an element: gain [i = j].

    Source: Le et al. 2015 (arXiv:1504.00941) for recurrent kernels.
    """
    return one("eye", locals())


def dirac(
    shape: Shape,
    *,
    gain: float = 1.0,
    layout: Literal["keras", "torch"] = "keras",
    groups: int = 1,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Convolutions that keep their input: channel d of a group's output is channel d of its input.

    The tap is at k // 2 of each spatial axis, as torch has it. Further output channels are zero.

    Distribution of an element: gain [position is the centre k // 2, input channel is the output channel within its
    group].

    Source: Zagoruyko & Komodakis 2017 (arXiv:1706.00388); torch.nn.init.dirac_.
    """
    return one("dirac", locals())


def log_range(
    shape: Shape,
    *,
    start: int = 1,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Logarithms of consecutive integers along the last axis: Mamba's A_log, of its states or of Mamba-2's heads.

    Distribution of an element: ln(start + i), i the index of the last axis.

    Source: Gu & Dao 2023 (arXiv:2312.00752), section 3.6 (S4D-real).
    """
    return one("log_range", locals())


def rope_frequencies(
    shape: Shape,
    *,
    base: float = 10000.0,
    scaling: Literal["linear", "llama3", "yarn", "longrope", "proportional"] | None = None,
    factor: float = 1.0,
    context: int = 8192,
    slow: float = 1.0,
    fast: float | None = None,
    truncate: bool = True,
    factors: Sequence[float] | None = None,
    partial_rotary_factor: float = 1.0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Inverse frequencies of rotary position embeddings; a head has twice as many dimensions as the last axis.

    `scaling` divides frequencies by `factor` if they turn fewer than `slow` times in a `context`, and leaves those that
    turn more than `fast` times. Between them it interpolates linearly: in turns (`llama3`, where `fast` is 4) or in
    dimensions (`yarn`, where it is 32). `linear` divides all.

    `longrope` divides the frequency of each dimension by its number in `factors`, which is a model's `short_factor` or
    `long_factor`. `proportional` divides all by `factor` and sets to 0 those beyond the part
    `partial_rotary_factor`.

    `yarn` follows YaRN's code. The formula of the paper, section 3.2, is `llama3` with `fast` 32. `truncate` rounds the
    ends of the ramp of `yarn` to integer dimensions; gpt-oss does not.

    Distribution of an element: base^(-i / n) ((1 - s) / factor + s), i the index of the last axis and n its size, s = 1
    if not scaled.

    Source: Su et al. 2021 (arXiv:2104.09864), section 3.3; Ding et al. 2024 (arXiv:2402.13753) for longrope;
    transformers' modeling_rope_utils.py, whose ramp of yarn is not that of Peng et al. 2023 (arXiv:2309.00071).
    """
    return one("rope_frequencies", locals())


def alibi_slopes(
    shape: Shape,
    *,
    max_bias: float = 8.0,
    variant: Literal["press", "mpt"] = "press",
    gain: float = 1.0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Slopes of attention with linear biases, one for each head in the only axis that is longer than 1.

    If the number of heads is not a power of 2: the slopes of the power below, then every second one of the power above.
    `variant` changes nothing: MPT's code computes the same slopes in another way. It stays for public vectors.

    `gain` multiplies all. In layer l of L, the decays of MiniMax's lightning attention have 1 - l / (L - 1 + 1e-5) +
    1e-5. Those of Bailing are negative.

    Distribution of an element: gain 2^(-max_bias (h + 1) / heads) of head h, where heads is a power of 2.

    Source: Press et al. 2022 (arXiv:2108.12409) and its code; transformers' modeling_mpt.py, modeling_minimax.py.
    """
    return one("alibi_slopes", locals())


def bilinear(
    shape: Shape,
    *,
    channels: Literal["all", "same"] = "all",
    layout: Literal["keras", "torch"] = "keras",
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Bilinear upsampling in the two spatial axes: in every pair of channels, or in those of equal number alone.

    FCN has `channels` `same`. In a depthwise kernel, which has one input channel, `all` is right.

    Distribution of an element: t(y, height) t(x, width); t(i, k) = 1 - |i - (k - 1) / 2| / ceil(k / 2).

    Source: Long et al. 2015 (arXiv:1411.4038), section 3.3.
    """
    return one("bilinear", locals())


def blocks(
    shape: Shape,
    *,
    parts: Sequence[Mapping[str, Any]],
    axis: int = 0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Blocks along an axis, each with a separate scheme: gates of a bias, padding rows, packed projections.

    Each of `parts` is a tensor with `size`, its length along the axis, in place of `shape` and `dtype`. Its shape and
    its fans are those of the block. Elements use the random words of their positions in the full tensor.

    Distribution of an element: the formula of each part, of its block's shape.

    Source: Jozefowicz et al. 2015 for a bias of gates; torch.nn.Embedding for padding_idx.
    """
    return one("blocks", locals())


def orthogonal(
    shape: Shape,
    *,
    gain: float = 1.0,
    spectral: Literal["ratio", "max", "fan_out"] | None = None,
    number: int | None = None,
    layout: Literal["keras", "torch"] = "keras",
    batch_axes: Axes = (),
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Haar-distributed orthonormal rows, or columns where these are fewer, times `gain`.

    The matrix is torch's (shape[0], rest) or Keras' and JAX's (rest, shape[-1]), by the layout.

    `batch_axes`, the first ones of the tensor, stack independent matrices: of layers, experts or heads. `spectral`
    multiplies by sqrt(fan_out / fan_in) (`ratio`, for Muon and Scion), by this or 1 if it is less (`max`), or by
    sqrt(fan_out) (`fan_out`, for Scion's first layer). A part beside others of `blocks` needs a `number`, and no
    two matrices of a tensor have the same: a stack of n has n numbers, from `number` on.

    Distribution of an element: g Q, Q uniform among the matrices with Q^T Q = I or Q Q^T = I; g = gain, times the
    factor of spectral.

    Source: Saxe et al. 2013 (arXiv:1312.6120); Stewart 1980, doi:10.1137/0717034; Pethick et al. 2025
    (arXiv:2502.07529) and its code, scion, for spectral.
    """
    return one("orthogonal", locals())


def delta_orthogonal(
    shape: Shape,
    *,
    gain: float = 1.0,
    layout: Literal["keras", "torch"] = "keras",
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Convolutions that keep the norm of their input: an orthogonal matrix at the centre tap, zeros elsewhere.

    The tap is at (k - 1) // 2 of each spatial axis, as JAX has it. There are at least as many output channels as input
    channels.

    Distribution of an element: gain Q of the channels at the centre (k - 1) // 2, 0 elsewhere; Q Q^T = I.

    Source: Xiao et al. 2018 (arXiv:1806.05393), section 3.3; jax.nn.initializers.delta_orthogonal.
    """
    return one("delta_orthogonal", locals())


def sparse(
    shape: Shape,
    *,
    sparsity: float,
    std: float,
    axis: int = 0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Normal distribution with the same number of zeros in each line along an axis, at random places.

    `axis` 0 of a matrix has the zeros counted in each column (torch, Flux), 1 in each row (MLX).

    Distribution of an element: N(0, std^2), and 0 at ceil(sparsity n) random places of each n along the axis.

    Source: Martens 2010 (Deep learning via Hessian-free optimization), section 5; torch.nn.init.sparse_.
    """
    return one("sparse", locals())


def log_of_uniform(
    shape: Shape,
    *,
    low: float = 1.0,
    high: float = 16.0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Logarithm of a uniform number: A_log of Mamba-2 with [1, 16], of gated delta nets with [0.01, 16].

    Distribution of an element: ln U[low, high].

    Source: Dao & Gu 2024 (arXiv:2405.21060) and its code, mamba_ssm/modules/mamba2.py.
    """
    return one("log_of_uniform", locals())


def dt_bias(
    shape: Shape,
    *,
    dt_min: float = 0.001,
    dt_max: float = 0.1,
    dt_floor: float = 0.0001,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Mamba's bias of time steps: softplus of it is distributed evenly on a logarithmic scale.

    Distribution of an element: ln(exp(dt) - 1), dt = max(dt_floor, exp U[ln dt_min, ln dt_max]).

    Source: Gu & Dao 2023 (arXiv:2312.00752), section 3.6, and its code, mamba_ssm/modules/mamba_simple.py.
    """
    return one("dt_bias", locals())


def rg_lru(
    shape: Shape,
    *,
    min_radius: float = 0.9,
    max_radius: float = 0.999,
    variant: Literal["recurrentgemma", "griffin"] = "recurrentgemma",
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Recurrence parameter p of RG-LRU, where exp(-softplus(p)) is the radius a; the layer takes its power c = 8.

    In RecurrentGemma's code the square of a is uniform, and a lies in [min_radius, max_radius]. `griffin` is the
    paper's distribution: a^c is uniform in [min_radius, max_radius]. The paper's parameter, whose sigmoid is a, is
    -p.

    Distribution of an element: ln(exp(-ln(u) / 2) - 1), u = U[min_radius^2, max_radius^2]; griffin: ln(exp(-ln(u) / 8)
    - 1), u = U[min_radius, max_radius].

    Source: google-deepmind/recurrentgemma, rnn_param_init; De et al. 2024 (arXiv:2402.19427), section 2.4, for griffin;
    Orvieto et al. 2023 (arXiv:2303.06349), section 3.2.1.
    """
    return one("rg_lru", locals())


def power_range(
    shape: Shape,
    *,
    low: float = -5.0,
    high: float = 3.0,
    power: float = 1.0,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Values from `low` to `high` along the last axis, by a power of how far along.

    RWKV's time_decay in layer l of L: from -5 to 3 by the power 0.7 + 1.3 l / (L - 1). With the power 1 they are evenly
    spaced.

    Distribution of an element: low + (high - low) (i / (n - 1))^power, i the index of the last axis and n its size.

    Source: Peng et al. 2023 (arXiv:2305.13048), appendix E, and transformers' modeling_rwkv.py.
    """
    return one("power_range", locals())


def sinusoidal(
    shape: Shape,
    *,
    base: float = 10000.0,
    variant: Literal["vaswani", "marian", "fairseq", "mae", "aimv2", "timm"] = "vaswani",
    padding: int | None = None,
    grid: Axes | None = None,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Sinusoidal positions along the last but one axis.

    `vaswani` has sines and cosines in turn, `marian` all sines before all cosines; both of base^(-2 i / d) for each
    position. `fairseq`, of Whisper and tensor2tensor too, has them one after the other, of base^(-i / (d // 2 -
    1)), and if d is odd a column of zeros at the end. `padding` is the row of a padding token: zeros.

    The other variants are tables of images. Row y width + x has the position (y, x) in a `grid` of a height and a
    width. The quarters of the columns are sin x, cos x, sin y, cos y in `mae`, of DiT too. They are sin y, cos y,
    sin x, cos x in `aimv2`, and sin y, sin x, cos y, cos x in `timm`, all of base^(-4 i / d). A row of zeros for a
    class token is a part of `blocks`.

    Distribution of an element: sin(p f_i), cos(p f_i) of row p; f_i = base^(-2 i / d), in fairseq base^(-i / (d // 2 -
    1)).

    Source: Vaswani et al. 2017 (arXiv:1706.03762), section 3.5; fairseq sinusoidal_positional_embedding.py;
    facebookresearch/mae util/pos_embed.py; transformers modeling_aimv2.py; timm/layers/pos_embed_sincos.py.
    """
    return one("sinusoidal", locals())


def stft(
    shape: Shape,
    *,
    side: Literal["real", "imag"] = "real",
    window: Literal[
        "hann", "hamming", "blackman", "nuttall", "blackmanharris", "flattop", "bartlett", "cosine", "boxcar"
    ]
    | None = "hann",
    scaling: Literal["density", "spectrum"] | None = "density",
    periodic: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Kernels of a short-time Fourier transform, of the shape (length, 1, bins): the transform has 2 (bins - 1) points.

    Windows have the names and formulas of SciPy. `scaling` divides by the root of the sum of the window's squares
    (`density`) or by its sum (`spectrum`). Without a window it has no effect.

    Distribution of an element: cos or sin(-2 pi t f / (2 (bins - 1))) window(t) / scale.

    Source: Allen & Rabiner 1977, doi:10.1109/PROC.1977.10770; keras.initializers.STFT.
    """
    return one("stft", locals())


def arange(
    shape: Shape,
    *,
    start: int = 0,
    step: int = 1,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Evenly spaced integers along the last axis, such as position ids.

    They are exact at integer types. Other types round each once, and take integers up to 2^53 - 1 in magnitude.

    Distribution of an element: start + step i, i the index of the last axis.

    Source: definition; numpy.arange.
    """
    return one("arange", locals())


def spectral_mup(
    shape: Shape,
    *,
    gain: float = 1.0,
    distribution: Literal["uniform", "normal", "untruncated_normal", "truncated_normal"] = "normal",
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Spectral parametrization, muP for every width: the spectral norm is about gain sqrt(fan_out / fan_in).

    For Muon and muP. Semi-orthogonal kernels of just this norm are `orthogonal` with `spectral` `ratio`.

    Distribution of an element: N(0, s^2), s = gain min(1, sqrt(fan_out / fan_in)) / sqrt(fan_in).

    Source: Yang, Simon & Bernstein 2023 (arXiv:2310.17813), section 4; nanotron's SpectralMupParametrizator.
    """
    return one("spectral_mup", locals())


def t_fixup(
    shape: Shape,
    *,
    layers: int,
    side: Literal["encoder", "decoder"],
    distribution: Literal["uniform", "normal"] = "uniform",
    layout: Literal["keras", "torch"] = "keras",
    in_axes: Axes | None = None,
    out_axes: Axes | None = None,
    batch_axes: Axes = (),
    groups: int = 1,
    depthwise: bool = False,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """T-Fixup's feed-forward, value and output projections of a transformer without layer norms: Glorot times a gain.

    `layers` counts those of this side. Query and key projections are `glorot_uniform`. Embeddings are `scaled_normal`
    with `std` 1, `width` the model's, and `depth` 3 sqrt(layers) of the decoder.

    Distribution of an element: glorot times g; encoder: g = 0.67 layers^(-1/4), decoder: g = (9 layers)^(-1/4).

    Source: Huang et al. 2020 (ICML), Improving Transformer Optimization Through Better Initialization, section 3.2.
    """
    return one("t_fixup", locals())


def retention_decay(
    shape: Shape,
    *,
    start: float = 5.0,
    stop: float | None = None,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Logarithms of the decays of RetNet, one for each head along the last axis.

    The exponents x are `start`, `start` + 1, ..., or with `stop` evenly spaced from `start` to it. The paper's language
    models have the exponents 5 to 9.

    Distribution of an element: ln(1 - 2^(-x)), x = start + h of head h, or start + (stop - start) h / (heads - 1).

    Source: Sun et al. 2023 (arXiv:2307.08621), section 2.2, and torchscale's retnet.py.
    """
    return one("retention_decay", locals())


def hippo_legs(
    shape: Shape,
    *,
    part: Literal["a", "b"] = "a",
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """The matrices of HiPPO-LegS in the last two axes, of at most 64 states, or with `part` `b` its input vector.

    Distribution of an element: row n, column k: -sqrt((2 n + 1) (2 k + 1)) if n > k, -(n + 1) if n = k, else 0; b:
    sqrt(2 n + 1), n the index of the last axis.

    Source: Gu et al. 2020 (arXiv:2008.07669), theorem 2; state-spaces/s4, transition.
    """
    return one("hippo_legs", locals())


def s4d_inv(
    shape: Shape,
    *,
    states: int | None = None,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Imaginary parts of the eigenvalues of S4D-Inv, along the last axis; the real parts are -1/2.

    `states` is N, of which half are stored, the others being conjugates. By default it is twice the size of the axis.

    Distribution of an element: (N / pi) (N / (2 n + 1) - 1), n the index of the last axis and N states.

    Source: Gu et al. 2022 (arXiv:2206.11893), equation 8; state-spaces/s4, dplr.
    """
    return one("s4d_inv", locals())


def lru_nu(
    shape: Shape,
    *,
    min_radius: float = 0.9,
    max_radius: float = 0.999,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """LRU's nu_log: exp(-exp(nu_log)) is the radius of an eigenvalue, uniform on the ring between the two radii.

    `theta_log`, the logarithm of the angle, is `log_of_uniform`. `gamma_log` depends on both and has no scheme.

    Distribution of an element: ln(-ln(u) / 2), u = U[min_radius^2, max_radius^2].

    Source: Orvieto et al. 2023 (arXiv:2303.06349), lemma 3.2 and appendix A.
    """
    return one("lru_nu", locals())


def logit_of_uniform(
    shape: Shape,
    *,
    low: float,
    high: float,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """Inverse sigmoid of a uniform number: a gate whose bias it is opens evenly between `low` and `high`.

    Uniform gate initialization takes 1 / d to 1 - 1 / d for a hidden size d.

    Distribution of an element: ln(u / (1 - u)), u = U[low, high].

    Source: Gu et al. 2020 (arXiv:1910.09890), section 3.1.
    """
    return one("logit_of_uniform", locals())


def quantized(
    shape: Shape,
    *,
    format: Literal[
        "fp8", "fp8_channel", "fp8_block", "int8", "mxfp8", "mxfp4", "nvfp4", "int4", "int4_asymmetric", "awq", "gptq"
    ],
    tensor: Mapping[str, Any],
    part: Literal["data", "scale", "zero_point", "global_scale", "shape", "group_index"] = "data",
    twin: str | None = None,
    group_size: int = 128,
    scale_dtype: Literal["F32", "BF16", "F16"] | None = None,
    transposed: bool = False,
    seed: Seed = 0,
    name: str = "weight",
    dtype: DTypeLike = "F32",
    backend: str | None = None,
) -> Array:
    """One part of a quantized matrix: its codes, its scales, or another tensor of its format.

    `tensor` is the tensor before quantization, without `dtype`. Its float32 numbers are quantized. `twin` is the last
    component of its name. A recipe has one tensor for each part, with the same `tensor`, `format` and `twin`.

    Distribution of an element: the codes, scales or zero points of the twin's float32 numbers.

    Source: Micikevicius et al. 2022 (FP8); OCP MX v1.0; DeepSeek-V3; NVIDIA NVFP4; compressed-tensors; AutoAWQ;
    AutoGPTQ.
    """
    return one("quantized", locals())


batch_norm_beta = zeros
batch_norm_moving_mean = zeros
batch_norm_gamma = ones
batch_norm_moving_variance = ones
xavier_uniform = glorot_uniform
xavier_normal = glorot_normal
kaiming_uniform = he_uniform
kaiming_normal = he_normal
identity = eye
mamba_a_log = log_range
mamba2_a_log = log_of_uniform
mamba_dt_bias = dt_bias
rwkv_decay = power_range

__all__ = [
    "alibi_slopes",
    "arange",
    "batch_norm_beta",
    "batch_norm_gamma",
    "batch_norm_moving_mean",
    "batch_norm_moving_variance",
    "bilinear",
    "blocks",
    "constant",
    "deepnorm",
    "delta_orthogonal",
    "dirac",
    "dt_bias",
    "eye",
    "fan_uniform",
    "fixup",
    "glorot_normal",
    "glorot_uniform",
    "he_normal",
    "he_uniform",
    "hippo_legs",
    "identity",
    "kaiming_normal",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "log_of_uniform",
    "log_range",
    "logit_of_uniform",
    "lru_nu",
    "mamba2_a_log",
    "mamba_a_log",
    "mamba_dt_bias",
    "normal",
    "ones",
    "orthogonal",
    "power_range",
    "quantized",
    "retention_decay",
    "rg_lru",
    "rope_frequencies",
    "rwkv_decay",
    "s4d_inv",
    "scaled_normal",
    "sinusoidal",
    "siren",
    "small_init",
    "sparse",
    "spectral_mup",
    "stft",
    "subln",
    "t_fixup",
    "truncated_normal",
    "uniform",
    "variance_scaling",
    "wang_init",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
