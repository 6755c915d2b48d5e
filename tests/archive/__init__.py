"""The archive: its index alone, behind each adapter, and as a command."""
