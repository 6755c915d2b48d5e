"""Programs for the command line; each is run with ``python -m dicom_transports.apps.NAME``."""
