"""Generated text to words and tool calls, while it arrives. No I/O."""
