"""Retrieval-augmented generation: the chain, the agent, their prompts, and what is packed into them."""
