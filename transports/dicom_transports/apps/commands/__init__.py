"""The commands, one module each; :mod:`dicom_transports.apps.main` says what such a module has."""
