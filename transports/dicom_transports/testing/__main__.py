"""``python -m dicom_transports.testing``: fuzz, simulate and examine DICOM programs."""

import sys

from dicom_transports.testing.main import main

if __name__ == "__main__":
    sys.exit(main())
