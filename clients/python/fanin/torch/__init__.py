"""PyTorch: recipes of models that initialize themselves."""

from fanin.errors import RecordError
from fanin.torch.recording import Recording, record

__all__ = ["RecordError", "Recording", "record"]
