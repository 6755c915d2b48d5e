"""What tasks await: the associations and entities that the adapters for event loops share."""
