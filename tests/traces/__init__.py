"""What is told of captures, and of what passes a tap."""
