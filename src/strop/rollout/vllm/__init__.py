"""vLLM servers behind strop's engine interface."""
