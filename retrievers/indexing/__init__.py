"""Folders to a vector store, kept up to date: change detection, backends, targets, migration."""
