"""Prompts: messages to the exact text that each Llama generation was trained on. No I/O."""
