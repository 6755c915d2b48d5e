"""What passes over DICOM connections, told: from a capture file, or from a tap."""
