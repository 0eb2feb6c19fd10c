"""Default initializers of layers of other libraries."""

from __future__ import annotations

from tests.peers.rows import Row, Section

ZEROS, ONES = {"scheme": "zeros"}, {"scheme": "ones"}
KAIMING = {"dialect": "torch", "scheme": "kaiming_uniform_", "a": 5**0.5}
"""torch's default for kernels: within 1 / sqrt(fan_in)."""
LECUN = {"dialect": "jax", "scheme": "lecun_normal"}
GLOROT = {"dialect": "keras", "scheme": "GlorotUniform"}

TORCH = Section(
    title="torch.nn",
    process="torch",
    library="torch",
    imports="from torch.nn import *",
    rows=(
        Row("Linear(96, 160).weight", {"shape": [160, 96], **KAIMING}),
        Row("Linear(96, 5000).bias", {"shape": [5000], "scheme": "fan_uniform", "fan": 96}),
        Row("Conv2d(24, 40, 3).weight", {"shape": [40, 24, 3, 3], **KAIMING}),
        Row("Conv2d(32, 96, 3, groups=4).weight", {"shape": [96, 8, 3, 3], **KAIMING}),
        Row("Conv2d(32, 4000, 3, groups=4).bias", {"shape": [4000], "scheme": "fan_uniform", "fan": 72}),
        Row("ConvTranspose2d(24, 40, 3).weight", {"shape": [24, 40, 3, 3], **KAIMING}),
        Row("ConvTranspose1d(2, 4000, 3).bias", {"shape": [4000], "scheme": "fan_uniform", "fan": 12000}),
        Row("Bilinear(9, 10, 200).weight", {"shape": [200, 9, 10], "scheme": "fan_uniform", "fan": 9}),
        Row("Bilinear(9, 10, 2000).bias", {"shape": [2000], "scheme": "fan_uniform", "fan": 9}),
        Row("Embedding(1000, 16).weight", {"shape": [1000, 16], "scheme": "normal", "std": 1}),
        Row(
            "Embedding(1000, 16, padding_idx=3).weight",
            {
                "shape": [1000, 16],
                "scheme": "blocks",
                "parts": [
                    {"size": 3, "scheme": "normal", "std": 1},
                    {"size": 1, "scheme": "zeros"},
                    {"size": 996, "scheme": "normal", "std": 1},
                ],
            },
        ),
        Row("EmbeddingBag(1000, 16).weight", {"shape": [1000, 16], "scheme": "normal", "std": 1}),
        Row("LSTM(40, 64).weight_ih_l0", {"shape": [256, 40], "scheme": "fan_uniform", "fan": 64}),
        Row("LSTM(40, 64).weight_hh_l0", {"shape": [256, 64], "scheme": "fan_uniform", "fan": 64}),
        Row("LSTM(2, 400).bias_hh_l0", {"shape": [1600], "scheme": "fan_uniform", "fan": 400}),
        Row("GRU(40, 64).weight_ih_l0", {"shape": [192, 40], "scheme": "fan_uniform", "fan": 64}),
        Row("RNN(40, 64).weight_hh_l0", {"shape": [64, 64], "scheme": "fan_uniform", "fan": 64}),
        Row("LSTMCell(40, 64).weight_ih", {"shape": [256, 40], "scheme": "fan_uniform", "fan": 64}),
        Row("GRUCell(40, 64).weight_hh", {"shape": [192, 64], "scheme": "fan_uniform", "fan": 64}),
        Row(
            "MultiheadAttention(64, 4).in_proj_weight",
            {"shape": [192, 64], "dialect": "torch", "scheme": "xavier_uniform_"},
        ),
        Row(
            "MultiheadAttention(64, 4, kdim=32).k_proj_weight",
            {"shape": [64, 32], "dialect": "torch", "scheme": "xavier_uniform_"},
        ),
        Row("MultiheadAttention(64, 4).in_proj_bias", {"shape": [192], **ZEROS}),
        Row("MultiheadAttention(64, 4).out_proj.weight", {"shape": [64, 64], **KAIMING}),
        Row("MultiheadAttention(64, 4).out_proj.bias", {"shape": [64], **ZEROS}),
        Row(
            "MultiheadAttention(512, 4, add_bias_kv=True).bias_k",
            {"shape": [1, 1, 512], "dialect": "torch", "scheme": "xavier_normal_"},
        ),
        Row(
            "Transformer(48, 4, 1, 1, 96).encoder.layers[0].linear1.weight",
            {"shape": [96, 48], "dialect": "torch", "scheme": "xavier_uniform_"},
        ),
        Row("BatchNorm2d(5).weight", {"shape": [5], **ONES}),
        Row("BatchNorm2d(5).bias", {"shape": [5], **ZEROS}),
        Row("BatchNorm2d(5).running_mean", {"shape": [5], "scheme": "batch_norm_moving_mean"}),
        Row("BatchNorm2d(5).running_var", {"shape": [5], "scheme": "batch_norm_moving_variance"}),
        Row("LayerNorm(5).weight", {"shape": [5], **ONES}),
        Row("LayerNorm(5).bias", {"shape": [5], **ZEROS}),
        Row("GroupNorm(2, 6).weight", {"shape": [6], **ONES}),
        Row("RMSNorm(5).weight", {"shape": [5], **ONES}),
        Row("PReLU(3).weight", {"shape": [3], "scheme": "constant", "value": 0.25}),
    ),
)

_LSTM_BIAS = [{"size": 50, **ZEROS}, {"size": 50, **ONES}, {"size": 100, **ZEROS}]

KERAS = Section(
    title="keras.layers",
    process="keras",
    library="keras",
    imports="""\
from keras.layers import *

def built(layer, *shapes):
    layer.build(*shapes)
    return layer

def attention():
    return built(MultiHeadAttention(4, 40), (None, 8, 96), (None, 8, 96))

def adapted():
    layer = built(Dense(160), (None, 96))
    layer.enable_lora(40)
    return layer
""",
    rows=(
        Row("built(Dense(160), (None, 96)).kernel", {"shape": [96, 160], **GLOROT}),
        Row("built(Dense(160), (None, 96)).bias", {"shape": [160], **ZEROS}),
        Row("built(Conv2D(40, 3), (None, 9, 9, 24)).kernel", {"shape": [3, 3, 24, 40], **GLOROT}),
        Row("built(Conv2D(96, 3, groups=4), (None, 9, 9, 32)).kernel", {"shape": [3, 3, 8, 96], **GLOROT}),
        Row("built(Conv2DTranspose(40, 3), (None, 9, 9, 24)).kernel", {"shape": [3, 3, 40, 24], **GLOROT}),
        Row(
            "built(DepthwiseConv2D(5, depth_multiplier=2), (None, 9, 9, 256)).kernel",
            {"shape": [5, 5, 256, 2], **GLOROT},
        ),
        Row("built(SeparableConv2D(160, 3), (None, 9, 9, 96)).pointwise_kernel", {"shape": [1, 1, 96, 160], **GLOROT}),
        Row(
            "built(Embedding(1000, 16), (None,)).embeddings",
            {"shape": [1000, 16], "dialect": "keras", "scheme": "uniform"},
        ),
        Row("built(LSTM(64), (None, 8, 40)).cell.kernel", {"shape": [40, 256], **GLOROT}),
        Row(
            "LSTM(2).cell.recurrent_initializer((2, 8))",
            {"shape": [2, 8], "dialect": "keras", "scheme": "orthogonal"},
        ),
        Row(
            "built(LSTM(50), (None, 8, 4)).cell.bias",
            {"shape": [200], "scheme": "blocks", "parts": _LSTM_BIAS},
        ),
        Row("built(GRU(64), (None, 8, 40)).cell.kernel", {"shape": [40, 192], **GLOROT}),
        Row("built(GRU(64), (None, 8, 40)).cell.bias", {"shape": [2, 192], **ZEROS}),
        Row(
            "attention().query_dense.kernel",
            {"shape": [96, 4, 40], **GLOROT, "input_axes": [0], "output_axes": [1, 2]},
        ),
        Row(
            "attention().output_dense.kernel",
            {"shape": [4, 40, 96], **GLOROT, "input_axes": [0, 1], "output_axes": [2]},
        ),
        Row("adapted().lora_kernel_a", {"shape": [96, 40], "dialect": "keras", "scheme": "HeUniform"}),
        Row("adapted().lora_kernel_b", {"shape": [40, 160], **ZEROS}),
        Row("built(BatchNormalization(), (None, 5)).gamma", {"shape": [5], "scheme": "batch_norm_gamma"}),
        Row("built(BatchNormalization(), (None, 5)).beta", {"shape": [5], "scheme": "batch_norm_beta"}),
        Row("built(LayerNormalization(), (None, 5)).gamma", {"shape": [5], **ONES}),
        Row("built(PReLU(), (None, 5)).alpha", {"shape": [5], **ZEROS}),
    ),
)

LINEN = Section(
    title="flax.linen",
    process="jax",
    library="flax",
    imports="""\
from flax.linen import *

def made(layer, *shape):
    return layer.init(jax.random.fold_in(root, count), jax.numpy.ones(shape))["params"]

def cell(layer):
    carry = layer.initialize_carry(root, (1, 40))
    return layer.init(jax.random.fold_in(root, count), carry, jax.numpy.ones((1, 40)))["params"]
""",
    rows=(
        Row("made(Dense(160), 1, 96)['kernel']", {"shape": [96, 160], **LECUN}),
        Row("made(Dense(160), 1, 96)['bias']", {"shape": [160], **ZEROS}),
        Row("made(Conv(40, (3, 3)), 1, 9, 9, 24)['kernel']", {"shape": [3, 3, 24, 40], **LECUN}),
        Row(
            "made(Conv(96, (3, 3), feature_group_count=4), 1, 9, 9, 32)['kernel']",
            {"shape": [3, 3, 8, 96], **LECUN},
        ),
        Row("made(ConvTranspose(40, (3, 3)), 1, 9, 9, 24)['kernel']", {"shape": [3, 3, 24, 40], **LECUN}),
        Row(
            "Embed(1000, 16).init(key, jax.numpy.ones(1, int))['params']['embedding']",
            {
                "shape": [1000, 16],
                "dialect": "jax",
                "scheme": "variance_scaling",
                "scale": 1.0,
                "mode": "fan_in",
                "distribution": "normal",
                "in_axis": 1,
                "out_axis": 0,
            },
        ),
        Row(
            "made(DenseGeneral((4, 40)), 1, 96)['kernel']",
            {"shape": [96, 4, 40], **LECUN, "in_axis": 0, "out_axis": [1, 2]},
        ),
        Row(
            "made(SelfAttention(4, qkv_features=160), 1, 8, 96)['query']['kernel']",
            {"shape": [96, 4, 40], **LECUN, "in_axis": 0, "out_axis": [1, 2]},
        ),
        Row(
            "made(SelfAttention(4, qkv_features=160), 1, 8, 96)['out']['kernel']",
            {"shape": [4, 40, 96], **LECUN, "in_axis": [0, 1], "out_axis": 2},
        ),
        Row("cell(LSTMCell(64))['ii']['kernel']", {"shape": [40, 64], **LECUN}),
        Row(
            "LSTMCell(3).recurrent_kernel_init(key, (3, 3))",
            {"shape": [3, 3], "dialect": "jax", "scheme": "orthogonal"},
        ),
        Row("cell(LSTMCell(64))['hf']['bias']", {"shape": [64], **ZEROS}),
        Row("cell(GRUCell(64))['in']['kernel']", {"shape": [40, 64], **LECUN}),
        Row("made(LayerNorm(), 1, 5)['scale']", {"shape": [5], **ONES}),
        Row("made(PReLU(), 1, 5)['negative_slope']", {"shape": [], "scheme": "constant", "value": 0.01}),
    ),
)

NNX = Section(
    title="flax.nnx",
    soak=True,
    process="jax",
    library="flax",
    imports="""\
from flax.nnx import *

def rngs():
    return Rngs(count)
""",
    rows=(
        Row("Linear(96, 160, rngs=rngs()).kernel", {"shape": [96, 160], **LECUN}),
        Row("Linear(96, 160, rngs=rngs()).bias", {"shape": [160], **ZEROS}),
        Row("Conv(24, 40, (3, 3), rngs=rngs()).kernel", {"shape": [3, 3, 24, 40], **LECUN}),
        Row("ConvTranspose(24, 40, (3, 3), rngs=rngs()).kernel", {"shape": [3, 3, 24, 40], **LECUN}),
        Row(
            "Embed(1000, 16, rngs=rngs()).embedding",
            {
                "shape": [1000, 16],
                "dialect": "jax",
                "scheme": "variance_scaling",
                "scale": 1.0,
                "mode": "fan_in",
                "distribution": "normal",
                "in_axis": 1,
                "out_axis": 0,
            },
        ),
        Row(
            "MultiHeadAttention(4, 96, 160, rngs=rngs()).query.kernel",
            {"shape": [96, 4, 40], **LECUN, "in_axis": 0, "out_axis": [1, 2]},
        ),
        Row(
            "MultiHeadAttention(4, 96, 160, rngs=rngs()).out.kernel",
            {"shape": [4, 40, 96], **LECUN, "in_axis": [0, 1], "out_axis": 2},
        ),
        Row("LSTMCell(40, 64, rngs=rngs()).ii.kernel", {"shape": [40, 64], **LECUN}),
        Row("LoRA(96, 40, 160, rngs=rngs()).lora_a", {"shape": [96, 40], "dialect": "jax", "scheme": "he_uniform"}),
        Row("LoRA(96, 40, 160, rngs=rngs()).lora_b", {"shape": [40, 160], **ZEROS}),
        Row("BatchNorm(5, rngs=rngs()).scale", {"shape": [5], "scheme": "batch_norm_gamma"}),
        Row("PReLU().negative_slope", {"shape": [], "scheme": "constant", "value": 0.01}),
    ),
)

HAIKU = Section(
    title="haiku layers",
    soak=True,
    process="jax",
    library="haiku",
    imports="""\
from haiku import *

def made(layer, *shape):
    parameters = transform(lambda x: layer()(x)).init(jax.random.fold_in(root, count), jax.numpy.ones(shape))
    return next(iter(parameters.values()))

def cell(layer):
    def run(x):
        core = layer()
        return core(x, core.initial_state(1))
    return transform(run).init(jax.random.fold_in(root, count), jax.numpy.ones((1, 40)))
""",
    rows=(
        Row(
            "made(lambda: Linear(160), 1, 96)['w']",
            {"shape": [96, 160], "scheme": "truncated_normal", "std": 96**-0.5},
        ),
        Row("made(lambda: Linear(160), 1, 96)['b']", {"shape": [160], **ZEROS}),
        Row(
            "made(lambda: Conv2D(40, 3), 1, 9, 9, 24)['w']",
            {"shape": [3, 3, 24, 40], "scheme": "truncated_normal", "std": 216**-0.5},
        ),
        Row(
            "transform(lambda: Embed(1000, 16)(0)).init(key)['embed']['embeddings']",
            {"shape": [1000, 16], "scheme": "truncated_normal", "std": 1},
        ),
        Row(
            "cell(lambda: LSTM(64))['lstm/linear']['w']",
            {"shape": [104, 256], "scheme": "truncated_normal", "std": 104**-0.5},
        ),
        Row("cell(lambda: LSTM(64))['lstm/linear']['b']", {"shape": [256], **ZEROS}),
    ),
)

EQUINOX = Section(
    title="equinox.nn",
    soak=True,
    process="jax",
    library="equinox",
    imports="from equinox.nn import *",
    rows=(
        Row("Linear(96, 160, key=key).weight", {"shape": [160, 96], **KAIMING}),
        Row("Linear(96, 5000, key=key).bias", {"shape": [5000], "scheme": "fan_uniform", "fan": 96}),
        Row("Conv2d(24, 40, 3, key=key).weight", {"shape": [40, 24, 3, 3], **KAIMING}),
        Row(
            "ConvTranspose2d(24, 40, 3, key=key).weight",
            {"shape": [40, 24, 3, 3], **KAIMING},
        ),
        Row("LSTMCell(40, 64, key=key).weight_ih", {"shape": [256, 40], "scheme": "fan_uniform", "fan": 64}),
        Row("GRUCell(40, 64, key=key).weight_hh", {"shape": [192, 64], "scheme": "fan_uniform", "fan": 64}),
        Row("Embedding(1000, 16, key=key).weight", {"shape": [1000, 16], "scheme": "normal", "std": 1}),
        Row("LayerNorm(5).weight", {"shape": [5], **ONES}),
    ),
)

LAYERS = (TORCH, KERAS, LINEN, NNX, HAIKU, EQUINOX)
