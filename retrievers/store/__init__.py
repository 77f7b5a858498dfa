"""FAISSStore: vectors, documents and filters on one machine, saved without pickle."""
