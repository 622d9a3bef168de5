"""Engine `vllm`: language models in vLLM, whose workers merge the weights."""
