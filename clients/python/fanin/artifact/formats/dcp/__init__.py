"""Checkpoints of torch.distributed.checkpoint. torch is not imported, and the bytes do not depend on its version."""
