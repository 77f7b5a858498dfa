"""Chat models made of several: load spread over targets, and a large model where a small one does not do."""
