"""Encoders of text, encoder-decoders, vision and speech: their published hyperparameters.

The module is long because it is one table. Rows of equal shape have other numbers.
"""

from __future__ import annotations

from typing import Any

from docs.catalogue.model import Model, tiny

F32 = {"dtype": "float32"}
_BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
_SMALL = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}
_BERT = {
    **F32,
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "pad_token_id": 0,
}
_MODERN_BERT = {
    **F32,
    "vocab_size": 50368,
    "max_position_embeddings": 8192,
    "global_attn_every_n_layers": 3,
    "local_attention": 128,
    "global_rope_theta": 160000.0,
    "local_rope_theta": 10000.0,
    "pad_token_id": 50283,
    "bos_token_id": 50281,
    "eos_token_id": 50282,
    "cls_token_id": 50281,
    "sep_token_id": 50282,
}
_T5 = {
    **F32,
    "vocab_size": 32128,
    "relative_attention_num_buckets": 32,
    "relative_attention_max_distance": 128,
    "layer_norm_epsilon": 1e-6,
    "feed_forward_proj": "relu",
    "tie_word_embeddings": True,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "decoder_start_token_id": 0,
}
_IMAGENET = {**F32, "num_labels": 1000}
_VIT = {**_IMAGENET, "image_size": 224, "patch_size": 16, "layer_norm_eps": 1e-12}
_CLIP_TEXT = {
    "vocab_size": 49408,
    "hidden_size": 512,
    "intermediate_size": 2048,
    "num_hidden_layers": 12,
    "num_attention_heads": 8,
    "max_position_embeddings": 77,
    "projection_dim": 512,
    "bos_token_id": 49406,
    "eos_token_id": 49407,
    "pad_token_id": 1,
}
_SIGLIP_TEXT = {"max_position_embeddings": 64, "pad_token_id": 1, "bos_token_id": None, "eos_token_id": 1}


def _whisper(width: int, layers: int, heads: int, vocab: int, mel: int) -> dict[str, Any]:
    both = {"layers": layers, "attention_heads": heads, "ffn_dim": 4 * width}
    return {
        **F32,
        **{f"{side}_{part}": size for side in ("encoder", "decoder") for part, size in both.items()},
        "d_model": width,
        "vocab_size": vocab,
        "num_mel_bins": mel,
        "max_source_positions": 1500,
        "max_target_positions": 448,
        "pad_token_id": 50256 if vocab > 50256 else 0,  # a token of the vocabulary
        "bos_token_id": 50257,
        "eos_token_id": 50257,
        "decoder_start_token_id": 50258,
    }


_FULL = {
    "bert-base": Model("BertForMaskedLM", "110M", "text", {**_BERT, **_BASE}),
    "bert-large": Model("BertForMaskedLM", "335M", "text", {**_BERT, **_LARGE}),
    "roberta-base": Model(
        "RobertaForMaskedLM",
        "125M",
        "text",
        {
            **F32,
            **_BASE,
            "vocab_size": 50265,
            "max_position_embeddings": 514,
            "type_vocab_size": 1,
            "layer_norm_eps": 1e-5,
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
    ),
    "distilbert-base": Model(
        "DistilBertForMaskedLM",
        "67.0M",
        "text",
        {
            **F32,
            "vocab_size": 30522,
            "max_position_embeddings": 512,
            "dim": 768,
            "n_layers": 6,
            "n_heads": 12,
            "hidden_dim": 3072,
            "pad_token_id": 0,
        },
    ),
    "modernbert-base": Model(
        "ModernBertForMaskedLM",
        "150M",
        "text",
        {
            **_MODERN_BERT,
            "hidden_size": 768,
            "intermediate_size": 1152,
            "num_hidden_layers": 22,
            "num_attention_heads": 12,
        },
    ),
    "modernbert-large": Model(
        "ModernBertForMaskedLM",
        "396M",
        "text",
        {
            **_MODERN_BERT,
            "hidden_size": 1024,
            "intermediate_size": 2624,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
        },
    ),
    "t5-small": Model(
        "T5ForConditionalGeneration",
        "60.5M",
        "text",
        {**_T5, "d_model": 512, "d_kv": 64, "d_ff": 2048, "num_layers": 6, "num_decoder_layers": 6, "num_heads": 8},
    ),
    "t5-base": Model(
        "T5ForConditionalGeneration",
        "223M",
        "text",
        {**_T5, "d_model": 768, "d_kv": 64, "d_ff": 3072, "num_layers": 12, "num_decoder_layers": 12, "num_heads": 12},
    ),
    "bart-base": Model(
        "BartForConditionalGeneration",
        "139M",
        "text",
        {
            **F32,
            "vocab_size": 50265,
            "d_model": 768,
            "max_position_embeddings": 1024,
            **{
                f"{side}_{part}": size
                for side in ("encoder", "decoder")
                for part, size in (("layers", 6), ("attention_heads", 12), ("ffn_dim", 3072))
            },
            "pad_token_id": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
            "decoder_start_token_id": 2,
        },
    ),
    "vit-base": Model("ViTForImageClassification", "86.6M", "images", {**_VIT, **_BASE}),
    "resnet-50": Model(
        "ResNetForImageClassification",
        "25.6M",
        "images",
        {
            **_IMAGENET,
            "num_channels": 3,
            "embedding_size": 64,
            "hidden_sizes": [256, 512, 1024, 2048],
            "depths": [3, 4, 6, 3],
            "layer_type": "bottleneck",
            "hidden_act": "relu",
            "downsample_in_first_stage": False,
        },
    ),
    "convnext-tiny": Model(
        "ConvNextForImageClassification",
        "28.6M",
        "images",
        {
            **_IMAGENET,
            "image_size": 224,
            "patch_size": 4,
            "depths": [3, 3, 9, 3],
            "hidden_sizes": [96, 192, 384, 768],
            "layer_scale_init_value": 1e-6,
        },
    ),
    "swin-tiny": Model(
        "SwinForImageClassification",
        "28.3M",
        "images",
        {
            **_IMAGENET,
            "image_size": 224,
            "patch_size": 4,
            "embed_dim": 96,
            "depths": [2, 2, 6, 2],
            "num_heads": [3, 6, 12, 24],
            "window_size": 7,
            "mlp_ratio": 4.0,
            "qkv_bias": True,
        },
    ),
    "dinov2-base": Model(
        "Dinov2Model",
        "86.6M",
        "images",
        {
            **F32,
            **{key: size for key, size in _BASE.items() if key != "intermediate_size"},
            "mlp_ratio": 4,
            "image_size": 518,
            "patch_size": 14,
            "layer_norm_eps": 1e-6,
            "layerscale_value": 1.0,
            "qkv_bias": True,
            "use_swiglu_ffn": False,
        },
    ),
    "clip-vit-base-patch32": Model(
        "CLIPModel",
        "151M",
        "images and text",
        {
            **F32,
            "projection_dim": 512,
            "logit_scale_init_value": 2.6592,
            "text_config": _CLIP_TEXT,
            "vision_config": {**_BASE, "image_size": 224, "patch_size": 32, "projection_dim": 512},
        },
    ),
    "clip-vit-large-patch14": Model(
        "CLIPModel",
        "428M",
        "images and text",
        {
            **F32,
            "projection_dim": 768,
            "logit_scale_init_value": 2.6592,
            "text_config": {
                **_CLIP_TEXT,
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_attention_heads": 12,
                "projection_dim": 768,
            },
            "vision_config": {**_LARGE, "image_size": 224, "patch_size": 14, "projection_dim": 768},
        },
    ),
    "siglip-base-patch16-224": Model(
        "SiglipModel",
        "203M",
        "images and text",
        {
            **F32,
            "text_config": {**_BASE, **_SIGLIP_TEXT, "vocab_size": 32000},
            "vision_config": {**_BASE, "image_size": 224, "patch_size": 16},
        },
    ),
    "whisper-tiny": Model("WhisperForConditionalGeneration", "37.8M", "audio", _whisper(384, 4, 6, 51865, 80)),
    "whisper-large-v3": Model("WhisperForConditionalGeneration", "1.54B", "audio", _whisper(1280, 32, 20, 51866, 128)),
    "data2vec-audio-base": Model(
        "Data2VecAudioModel",
        "93.2M",
        "audio",
        {
            **F32,
            **_BASE,
            "vocab_size": 32,
            "conv_dim": [512] * 7,
            "conv_stride": [5, 2, 2, 2, 2, 2, 2],
            "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
            "conv_bias": False,
            "num_feat_extract_layers": 7,
            "num_conv_pos_embeddings": 5,
            "num_conv_pos_embedding_groups": 16,
            "conv_pos_kernel_size": 19,
            "feat_extract_activation": "gelu",
            "layer_norm_eps": 1e-5,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        },
    ),
}

_IMAGE = {"image_size": 32, "num_labels": 10}
_TINY_TEXT = {**_SMALL, "vocab_size": 512, "max_position_embeddings": 128}
_TINY_CLIP = {
    "projection_dim": 32,
    "text_config": {**_CLIP_TEXT, **_TINY_TEXT, "projection_dim": 32, "bos_token_id": 1, "eos_token_id": 2},
    "vision_config": {**_SMALL, "image_size": 32, "patch_size": 8, "projection_dim": 32},
}

_TINY = {
    "tiny-bert": tiny(_FULL["bert-base"], **_TINY_TEXT),
    "tiny-roberta": tiny(_FULL["roberta-base"], **_TINY_TEXT),
    "tiny-distilbert": tiny(
        _FULL["distilbert-base"],
        vocab_size=512,
        max_position_embeddings=128,
        dim=64,
        n_layers=2,
        n_heads=4,
        hidden_dim=128,
    ),
    "tiny-modernbert": tiny(
        _FULL["modernbert-base"],
        **_TINY_TEXT,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
    ),
    "tiny-t5": tiny(
        _FULL["t5-small"],
        vocab_size=512,
        d_model=64,
        d_kv=16,
        d_ff=128,
        num_layers=2,
        num_decoder_layers=2,
        num_heads=4,
    ),
    "tiny-bart": tiny(
        _FULL["bart-base"],
        vocab_size=512,
        d_model=64,
        max_position_embeddings=128,
        **{
            f"{side}_{part}": size
            for side in ("encoder", "decoder")
            for part, size in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 128))
        },
    ),
    "tiny-vit": tiny(_FULL["vit-base"], **_SMALL, **_IMAGE, patch_size=8),
    "tiny-resnet": tiny(_FULL["resnet-50"], num_labels=10, embedding_size=16, hidden_sizes=[32, 64], depths=[1, 2]),
    "tiny-convnext": tiny(_FULL["convnext-tiny"], **_IMAGE, num_stages=2, depths=[1, 2], hidden_sizes=[16, 32]),
    "tiny-swin": tiny(_FULL["swin-tiny"], **_IMAGE, embed_dim=16, depths=[1, 2], num_heads=[2, 4], window_size=4),
    "tiny-dinov2": tiny(
        _FULL["dinov2-base"],
        **{key: size for key, size in _SMALL.items() if key != "intermediate_size"},
        image_size=32,
        patch_size=8,
    ),
    "tiny-clip": tiny(_FULL["clip-vit-base-patch32"], **_TINY_CLIP),
    "tiny-siglip": tiny(
        _FULL["siglip-base-patch16-224"],
        text_config={**_TINY_TEXT, **_SIGLIP_TEXT},
        vision_config={**_SMALL, "image_size": 32, "patch_size": 8},
    ),
    "tiny-whisper": tiny(
        _FULL["whisper-tiny"],
        **(
            _whisper(64, 2, 4, 512, 80)
            | {"max_source_positions": 64, "max_target_positions": 32}
            | {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 1}
        ),
    ),
    "tiny-data2vec-audio": tiny(
        _FULL["data2vec-audio-base"],
        **_SMALL,
        conv_dim=[32, 32],
        conv_stride=[5, 2],
        conv_kernel=[10, 3],
        num_feat_extract_layers=2,
        num_conv_pos_embeddings=2,
        num_conv_pos_embedding_groups=4,
    ),
}

MODELS = _FULL | _TINY
