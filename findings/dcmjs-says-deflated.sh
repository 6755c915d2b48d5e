#!/usr/bin/env bash
# dcmjs 0.51.1 reads a file in Deflated Explicit VR Little Endian, and writes one that says so and is not deflated.
#
# Versions: dcmjs 0.51.1 (Node.js 20), pydicom 3.0.2 to make the file and to read what comes back.
# Input: a data set in Deflated Explicit VR Little Endian (PS3.5 A.5), read with DicomMessage.readFile, one value changed,
#   written with write().
# Likely guess: what inflates by itself deflates by itself, or the file states the syntax that it is in now.
# Seen: the file meta information still names 1.2.840.10008.1.2.1.99, and behind it the elements stand as they are. Nothing
#   is said; dcmjs does not read its own file either, nor does pydicom: both take it for deflated bytes.
#
#   states: Deflated Explicit VR Little Endian
#   behind the file meta information: (0008,0016) UI
#   pydicom: error
#   dcmjs: error
#
# Exit status: 0 if that is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pydicom==3.0.2 2>"$folder/pip" || { cat "$folder/pip"; exit 2; }
npm install --ignore-scripts --no-audit --no-fund --silent --prefix "$folder" dcmjs@0.51.1 >"$folder/npm" 2>&1 || { cat "$folder/npm"; exit 2; }

cat >"$folder/again.js" <<'JAVASCRIPT'
const fs = require("fs");
const { log, data } = require("dcmjs");
log.setLevel("silent");
const [before, after] = process.argv.slice(2);
const read = (name) => {
  const raw = fs.readFileSync(name);
  return data.DicomMessage.readFile(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
};
const file = read(before);
file.dict["00100020"].Value = ["2"];
fs.writeFileSync(after, Buffer.from(file.write()));
try {
  read(after);
  console.log("dcmjs: reads it");
} catch {
  console.log("dcmjs: error");
}
JAVASCRIPT
cat >"$folder/meet.py" <<'PYTHON'
import pathlib
import subprocess
import sys

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filereader import read_file_meta_info
from pydicom.uid import DeflatedExplicitVRLittleEndian, SecondaryCaptureImageStorage

folder = pathlib.Path(sys.argv[1])
dataset = Dataset()
dataset.file_meta = FileMetaDataset()
dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
dataset.SOPClassUID = SecondaryCaptureImageStorage
dataset.SOPInstanceUID = "1.2.3"
dataset.PatientName = "Sample"
dataset.PatientID = "1"
before, after = folder / "before.dcm", folder / "after.dcm"
dataset.save_as(before, enforce_file_format=True)
assert dcmread(before).PatientName == "Sample"
told = subprocess.run(
    ["node", folder / "again.js", before, after], check=True, capture_output=True, text=True
).stdout.strip()

meta = read_file_meta_info(after)
raw = after.read_bytes()
start = 132 + 12 + meta.FileMetaInformationGroupLength
is_plain = raw[start : start + 6] == b"\x08\x00\x16\x00UI"
try:
    dcmread(after).PatientName
    pydicom = "reads it"
except Exception:
    pydicom = "error"
print("states:", meta.TransferSyntaxUID.name)
print("behind the file meta information:", "(0008,0016) UI" if is_plain else "something else")
print("pydicom:", pydicom)
print(told)
still_so = (
    meta.TransferSyntaxUID == DeflatedExplicitVRLittleEndian
    and is_plain
    and pydicom == "error"
    and told == "dcmjs: error"
)
sys.exit(not still_so)
PYTHON
"$folder/env/bin/python" "$folder/meet.py" "$folder"
