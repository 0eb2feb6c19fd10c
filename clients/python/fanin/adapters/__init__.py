"""Code that the adapters of torch, JAX and Keras share."""
