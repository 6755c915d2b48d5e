"""``pynetdicom._handlers``, whose handlers write log lines: applications import it, and the stack logs without it."""
