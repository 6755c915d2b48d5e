"""What the archive is made of."""
