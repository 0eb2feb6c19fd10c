/** Recipes to start from. */

export interface Example {
  readonly title: string;
  readonly text: string;
}

const llama = {
  seed: 42,
  dtype: "BF16",
  layout: "torch",
  tensors: {
    "model.embed_tokens.weight": { shape: [32000, 2048], scheme: "normal", std: 0.02 },
    "model.norm.weight": { shape: [2048], scheme: "ones" },
    "lm_head.weight": { shape: [32000, 2048], scheme: "normal", std: 0.02 },
  },
  repeated: {
    "model.layers.{0..21}.self_attn.q_proj.weight": { shape: [2048, 2048], scheme: "normal", std: 0.02 },
    "model.layers.{0..21}.self_attn.o_proj.weight": { shape: [2048, 2048], scheme: "normal", std: 0.02 },
    "model.layers.{0..21}.self_attn.k_proj.weight": { shape: [256, 2048], scheme: "normal", std: 0.02 },
    "model.layers.{0..21}.self_attn.v_proj.weight": { shape: [256, 2048], scheme: "normal", std: 0.02 },
    "model.layers.{0..21}.mlp.gate_proj.weight": { shape: [5632, 2048], scheme: "normal", std: 0.02 },
    "model.layers.{0..21}.mlp.up_proj.weight": { shape: [5632, 2048], scheme: "normal", std: 0.02 },
    "model.layers.{0..21}.mlp.down_proj.weight": { shape: [2048, 5632], scheme: "normal", std: 0.003 },
    "model.layers.{0..21}.input_layernorm.weight": { shape: [2048], scheme: "ones" },
    "model.layers.{0..21}.post_attention_layernorm.weight": { shape: [2048], scheme: "ones" },
  },
};

const RECIPES: readonly (readonly [string, object])[] = [
  [
    "A small network",
    {
      seed: 42,
      layout: "torch",
      tensors: {
        "fc1.weight": { shape: [256, 784], scheme: "he_normal" },
        "fc1.bias": { shape: [256], scheme: "zeros" },
        "fc2.weight": { shape: [10, 256], scheme: "glorot_uniform", dtype: "BF16" },
        "fc2.bias": { shape: [10], scheme: "zeros" },
      },
    },
  ],
  ["One tensor", { shape: [784, 10], scheme: "truncated_normal", std: 0.05, seed: 7 }],
  ["A language model of 1.1 billion parameters, BF16", llama],
  [
    "Storage types of 8 bits",
    {
      seed: 1,
      tensors: {
        "f8_e4m3.weight": { shape: [256, 256], scheme: "he_normal", layout: "torch", dtype: "F8_E4M3" },
        "f8_e5m2.weight": { shape: [256, 256], scheme: "he_normal", layout: "torch", dtype: "F8_E5M2" },
        "bf16.weight": { shape: [256, 256], scheme: "he_normal", layout: "torch", dtype: "BF16" },
        "f32.weight": { shape: [256, 256], scheme: "he_normal", layout: "torch", dtype: "F32" },
      },
    },
  ],
  [
    "Orthogonal, sparse and recurrent",
    {
      seed: 3,
      tensors: {
        "recurrent.weight": { shape: [256, 256], scheme: "orthogonal" },
        "sparse.weight": { shape: [256, 128], scheme: "sparse", sparsity: 0.9, std: 0.01 },
        "lstm.bias": {
          shape: [512],
          scheme: "blocks",
          parts: [
            { size: 128, scheme: "zeros" },
            { size: 128, scheme: "ones" },
            { size: 256, scheme: "zeros" },
          ],
        },
        "mamba.dt_bias": { shape: [1536], scheme: "dt_bias" },
        "position.weight": { shape: [128, 64], scheme: "sinusoidal" },
      },
    },
  ],
  [
    "With the names of torch",
    {
      seed: 42,
      dialect: "torch",
      tensors: {
        "conv.weight": { shape: [64, 32, 3, 3], scheme: "kaiming_normal_", nonlinearity: "relu" },
        "fc.weight": { shape: [512, 256], scheme: "xavier_uniform_" },
        "head.weight": { shape: [10, 512], scheme: "trunc_normal_", std: 0.02 },
      },
    },
  ],
  [
    "With the names of Keras",
    {
      seed: 42,
      dialect: "keras",
      tensors: {
        "dense/kernel": { shape: [256, 512], scheme: "HeNormal" },
        "conv/kernel": { shape: [3, 3, 32, 64], scheme: "GlorotUniform" },
        "embedding/embeddings": { shape: [1000, 64], scheme: "RandomUniform" },
      },
    },
  ],
  [
    "With the names of JAX",
    {
      seed: 42,
      dialect: "jax",
      tensors: {
        "Dense_0/kernel": { shape: [256, 512], scheme: "lecun_normal" },
        "Conv_0/kernel": { shape: [3, 3, 32, 64], scheme: "he_uniform" },
      },
    },
  ],
];

export const EXAMPLES: readonly Example[] = RECIPES.map(([title, recipe]) => ({ title, text: JSON.stringify(recipe) }));
