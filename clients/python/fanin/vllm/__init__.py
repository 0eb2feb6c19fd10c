"""vLLM: the load format `fanin`, which generates the weights of a model in place of reading them."""

LOAD_FORMAT = "fanin"


def register() -> None:
    """Register the load format. vLLM calls this in each of its processes, as an entry point of `vllm.general_plugins`.

    Raises:
        ImportError: vLLM is not installed, or has no such loaders.
    """
    from vllm.model_executor.model_loader import register_model_loader

    from fanin.vllm.loader import FaninModelLoader

    register_model_loader(LOAD_FORMAT)(FaninModelLoader)
