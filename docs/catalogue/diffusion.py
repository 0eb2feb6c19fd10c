"""Networks of diffusion models: their published hyperparameters, in the fields of diffusers.

The sources are the files config.json of facebook/DiT-XL-2-256, stable-diffusion-v1-5/stable-diffusion-v1-5 (`unet`),
stabilityai/sd-vae-ft-mse and black-forest-labs/FLUX.1-dev (`transformer`).
"""

from __future__ import annotations

from docs.catalogue.model import Model, tiny

_FULL = {
    "dit-xl-2-256": Model(
        "DiTTransformer2DModel",
        "750M",
        "latents",
        {
            "sample_size": 32,
            "patch_size": 2,
            "in_channels": 4,
            "out_channels": 8,
            "num_layers": 28,
            "num_attention_heads": 16,
            "attention_head_dim": 72,
            "attention_bias": True,
            "activation_fn": "gelu-approximate",
            "num_embeds_ada_norm": 1000,
            "norm_type": "ada_norm_zero",
            "norm_elementwise_affine": False,
            "norm_eps": 1e-5,
            "dtype": "float32",
        },
        "diffusers",
    ),
    "flux.1-dev": Model(
        "FluxTransformer2DModel",
        "12B",
        "latents and text",
        {
            "patch_size": 1,
            "in_channels": 64,
            "num_layers": 19,
            "num_single_layers": 38,
            "num_attention_heads": 24,
            "attention_head_dim": 128,
            "joint_attention_dim": 4096,
            "pooled_projection_dim": 768,
            "guidance_embeds": True,
            "axes_dims_rope": [16, 56, 56],
            "dtype": "bfloat16",
        },
        "diffusers",
    ),
    "stable-diffusion-1.5-unet": Model(
        "UNet2DConditionModel",
        "860M",
        "latents and text",
        {
            "sample_size": 64,
            "in_channels": 4,
            "out_channels": 4,
            "down_block_types": [*["CrossAttnDownBlock2D"] * 3, "DownBlock2D"],
            "up_block_types": ["UpBlock2D", *["CrossAttnUpBlock2D"] * 3],
            "block_out_channels": [320, 640, 1280, 1280],
            "layers_per_block": 2,
            "cross_attention_dim": 768,
            "attention_head_dim": 8,
            "norm_num_groups": 32,
            "norm_eps": 1e-5,
            "act_fn": "silu",
            "flip_sin_to_cos": True,
            "freq_shift": 0,
            "dtype": "float32",
        },
        "diffusers",
    ),
    "stable-diffusion-vae": Model(
        "AutoencoderKL",
        "83.7M",
        "images",
        {
            "sample_size": 256,
            "in_channels": 3,
            "out_channels": 3,
            "latent_channels": 4,
            "down_block_types": ["DownEncoderBlock2D"] * 4,
            "up_block_types": ["UpDecoderBlock2D"] * 4,
            "block_out_channels": [128, 256, 512, 512],
            "layers_per_block": 2,
            "norm_num_groups": 32,
            "act_fn": "silu",
            "dtype": "float32",
        },
        "diffusers",
    ),
}

_TINY = {
    "tiny-dit": tiny(
        _FULL["dit-xl-2-256"],
        sample_size=8,
        num_layers=2,
        num_attention_heads=4,
        attention_head_dim=16,
        num_embeds_ada_norm=10,
    ),
    "tiny-flux": tiny(
        _FULL["flux.1-dev"],
        in_channels=16,
        num_layers=1,
        num_single_layers=2,
        num_attention_heads=4,
        attention_head_dim=16,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=[4, 6, 6],
    ),
    "tiny-stable-diffusion-unet": tiny(
        _FULL["stable-diffusion-1.5-unet"],
        sample_size=8,
        down_block_types=["CrossAttnDownBlock2D", "DownBlock2D"],
        up_block_types=["UpBlock2D", "CrossAttnUpBlock2D"],
        block_out_channels=[16, 32],
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=2,
        norm_num_groups=8,
    ),
    "tiny-stable-diffusion-vae": tiny(
        _FULL["stable-diffusion-vae"],
        sample_size=32,
        down_block_types=["DownEncoderBlock2D"] * 2,
        up_block_types=["UpDecoderBlock2D"] * 2,
        block_out_channels=[16, 32],
        layers_per_block=1,
        norm_num_groups=8,
    ),
}

MODELS = _FULL | _TINY
