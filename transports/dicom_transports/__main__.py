"""``python -m dicom_transports``: the command line, the same as ``dicom-proto``.

Stable.
"""

import sys

from dicom_transports.apps.main import main

if __name__ == "__main__":
    sys.exit(main())
