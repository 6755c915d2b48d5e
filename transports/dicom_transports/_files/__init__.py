"""Files: how objects are read to be sent, and made durable when they are received."""
