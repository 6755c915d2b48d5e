"""A small archive: storage, query and retrieval over an index of files."""
