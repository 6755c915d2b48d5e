"""The index of an archive: what is where, in a database."""
