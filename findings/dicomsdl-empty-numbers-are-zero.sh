#!/usr/bin/env bash
# dicomsdl 0.109.4 reads an empty number as 0: what was not measured looks measured.
#
# Versions: dicomsdl 0.109.4, pydicom 3.0.2 to make the file. Python 3.11.
# Input: a file in which Slice Thickness (DS), Instance Number (IS), Echo Time (DS) and Rows (US) have no value, as type 2
#   elements may (PS3.5 7.4.3): "unknown".
# Likely guess: None, as for an element that is not there; pydicom says None for both.
# Seen: 0.0 and 0, of the binary VR too. Only an element that is absent is None. getattr(..., default) and a comparison
#   with None do not tell one from the other, and a mean over a series takes the zeros in.
#
#   SliceThickness: pydicom None, dicomsdl 0.0
#   InstanceNumber: pydicom None, dicomsdl 0
#   EchoTime: pydicom None, dicomsdl 0.0
#   Rows: pydicom None, dicomsdl 0
#   RepetitionTime (absent): dicomsdl None
#
# Exit status: 0 if that is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check \
    dicomsdl==0.109.4 pydicom==3.0.2 2>"$folder/pip" || { cat "$folder/pip"; exit 2; }

cat >"$folder/meet.py" <<'PYTHON'
import pathlib
import sys

import dicomsdl
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

path = pathlib.Path(sys.argv[1]) / "unknown.dcm"
dataset = Dataset()
dataset.file_meta = FileMetaDataset()
dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
dataset.SOPClassUID = MRImageStorage
dataset.SOPInstanceUID = "1.2.3"
keywords = ("SliceThickness", "InstanceNumber", "EchoTime", "Rows")
for keyword in keywords:
    setattr(dataset, keyword, None)
dataset.save_as(path, enforce_file_format=True)

theirs, pydicom = dicomsdl.open_file(str(path)), dcmread(path)
seen = {keyword: getattr(theirs, keyword) for keyword in keywords}
for keyword, value in seen.items():
    print(f"{keyword}: pydicom {getattr(pydicom, keyword)}, dicomsdl {value}")
print("RepetitionTime (absent): dicomsdl", theirs.RepetitionTime)
sys.exit(not all(value == 0 and value is not None for value in seen.values()) or theirs.RepetitionTime is not None)
PYTHON
"$folder/env/bin/python" "$folder/meet.py" "$folder"
