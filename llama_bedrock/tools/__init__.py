"""Tools without I/O: how they are offered in a prompt, and how calls are read out of text."""
