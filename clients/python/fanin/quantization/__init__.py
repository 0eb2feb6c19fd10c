"""Quantized checkpoints: their recipe from the recipe of the model, and their configuration."""

from fanin.quantization.configurations import configuration, quantize_as
from fanin.quantization.parts import FORMATS, quantize

__all__ = ["FORMATS", "configuration", "quantize", "quantize_as"]
