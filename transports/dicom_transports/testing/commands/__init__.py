"""The commands of the kit, a module each: :mod:`dicom_transports.testing.main` finds them here."""
