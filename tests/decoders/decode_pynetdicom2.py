"""Decodes PDUs with pynetdicom2: a PDU in hexadecimal on each line, and a line of answer. Runs in its environment."""

import sys

from pynetdicom2 import pdu

KINDS = {
    1: pdu.AAssociateRqPDU,
    2: pdu.AAssociateAcPDU,
    3: pdu.AAssociateRjPDU,
    4: pdu.PDataTfPDU,
    5: pdu.AReleaseRqPDU,
    6: pdu.AReleaseRpPDU,
    7: pdu.AAbortPDU,
}

for line in sys.stdin:
    data = bytes.fromhex(line)
    try:
        KINDS[data[0]].decode(data)
    except Exception as error:
        print("= refused", type(error).__name__, flush=True)
    else:
        print("= accepted", flush=True)
