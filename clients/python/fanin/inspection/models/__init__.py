"""Models of PyTorch, Keras and JAX: their tensors and roles, and the signal in them."""
