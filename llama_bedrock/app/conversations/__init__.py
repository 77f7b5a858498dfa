"""Conversations that a checkpointer remembers: the same ones in a terminal and on the page."""
