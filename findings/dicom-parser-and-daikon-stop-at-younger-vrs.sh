#!/usr/bin/env bash
# dicom-parser 1.8.21 and daikon 1.2.46 do not get past an element of VR SV, UV or OV in Explicit VR.
#
# Versions: dicom-parser 1.8.21, daikon 1.2.46, dcmjs 0.51.1 (Node.js 20), pydicom 3.0.2 to make the files.
# Input: files in Explicit VR Little Endian with one element of a VR whose length has 32 bits (PS3.5 7.1.2), and behind it
#   Pixel Representation, 1. OV is no rarity: the Extended Offset Table (7FE0,0001) of an encapsulated image has it.
# Likely guess: a parser that does not know a VR takes it for one with a length of 32 bits, as PS3.5 7.1.2 promises for all
#   VRs to come, and reads on.
# Seen: both take the VRs that they do not know for the short form and go on in the middle of the value. daikon does not
#   know UR, OD and OL either. dcmjs does not know OL, OV and SV, says so in its log, and reads on as it should.
#
#   VR dicom-parser daikon dcmjs
#   OB 1 1 1
#   OD 1 error 1
#   OF 1 1 1
#   OL 1 error 1
#   OV error error 1
#   OW 1 1 1
#   SV error error 1
#   UC 1 1 1
#   UN 1 1 1
#   UR 1 error 1
#   UT 1 1 1
#   UV error error 1
#
# Exit status: 0 if that is still so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pydicom==3.0.2 2>"$folder/pip" || { cat "$folder/pip"; exit 2; }
npm install --ignore-scripts --no-audit --no-fund --silent --prefix "$folder" \
    dicom-parser@1.8.21 daikon@1.2.46 dcmjs@0.51.1 >"$folder/npm" 2>&1 || { cat "$folder/npm"; exit 2; }

cat >"$folder/behind.js" <<'JAVASCRIPT'
const fs = require("fs");
const { parseDicom } = require("dicom-parser");
const daikon = require("daikon");
const { log, data } = require("dcmjs");
log.setLevel("silent");
const attempt = (reader) => {
  try {
    return reader() ?? "lost";
  } catch {
    return "error";
  }
};
for (const name of process.argv.slice(2)) {
  const raw = fs.readFileSync(name);
  const buffer = raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length);
  const found = [
    attempt(() => parseDicom(new Uint8Array(buffer)).uint16("x00280103")),
    attempt(() => daikon.Series.parseImage(new DataView(buffer)).getTag(0x28, 0x103).value[0]),
    attempt(() => data.DicomMessage.readFile(buffer).dict["00280103"].Value[0]),
  ];
  console.log(found.join(" "));
}
JAVASCRIPT
cat >"$folder/meet.py" <<'PYTHON'
import pathlib
import subprocess
import sys

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

folder = pathlib.Path(sys.argv[1])
values = {
    "OB": b"\1\2", "OD": b"\1" * 8, "OF": b"\1" * 4, "OL": b"\1" * 4, "OV": b"\1" * 8, "OW": b"\1\2",
    "SV": -1, "UC": "a", "UN": b"\1\2", "UR": "urn:a", "UT": "a", "UV": 1,
}  # fmt: skip
paths = []
for vr, value in values.items():
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.add_new(0x00270010, "LO", "SAMPLE")
    dataset.add_new(0x00271001, vr, value)  # private, so that any VR will do
    dataset.PixelRepresentation = 1
    path = folder / f"{vr}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    assert dcmread(path).PixelRepresentation == 1
    paths.append(path)
told = subprocess.run(["node", folder / "behind.js", *paths], check=True, capture_output=True, text=True)
rows = {vr: line.split() for vr, line in zip(values, told.stdout.splitlines()[-len(values) :], strict=True)}
print("VR dicom-parser daikon dcmjs")
for vr, row in rows.items():
    print(vr, *row)
stops = [{vr for vr, row in rows.items() if row[column] != "1"} for column in range(3)]
sys.exit(stops != [{"OV", "SV", "UV"}, {"OD", "OL", "OV", "SV", "UR", "UV"}, set()])
PYTHON
"$folder/env/bin/python" "$folder/meet.py" "$folder"
