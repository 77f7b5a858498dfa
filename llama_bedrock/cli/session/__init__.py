"""What the conversations of `chat` and `agent` are made of: input, turns, screen, memory, approvals."""
