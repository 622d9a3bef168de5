"""Engine `vllm`: vLLM, which merges in its own workers."""
