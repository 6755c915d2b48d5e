"""What ``_config.VALIDATORS`` has at first."""

from dicom_transports.compat.pynetdicom._config import validate_ae, validate_ui

__all__ = ["validate_ae", "validate_ui"]
