"""What threads wait for: the blocking adapter's associations, wakers and workers."""
