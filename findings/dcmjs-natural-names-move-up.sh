#!/usr/bin/env bash
# dcmjs 0.51.1: of several person names one that is empty vanishes when a data set is naturalized, and others move up.
#
# Versions: dcmjs 0.51.1 (Node.js 20), pydicom 3.0.2 to make the file and to read what comes back.
# Input: a file with three values each, the second of them empty, of VR PN, LO, CS and IS. An empty value among several keeps
#   the place of those behind it (PS3.5 6.4): the second of three performing physicians is not known, the third is.
# Likely guess: denaturalizeDataset(naturalizeDataset(dict)) keeps the number of values, of all VRs or of none.
# Seen: three values of LO and CS come back, of PN two; with IS denaturalizeDataset raises a TypeError. readFile and write
#   alone keep all of them.
#
#   PerformingPhysicianName (PN): A^1||C^3 -> A^1|C^3
#   OtherPatientIDs (LO): A||C -> A||C
#   ImageType (CS): A||C -> A||C
#   SelectorISValue (IS): 1||3 -> TypeError
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
const { DicomMessage, DicomMetaDictionary } = data;
const [before, plain, natural] = process.argv.slice(2);
const raw = fs.readFileSync(before);
const file = DicomMessage.readFile(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
fs.writeFileSync(plain, Buffer.from(file.write()));
try {
  file.dict = DicomMetaDictionary.denaturalizeDataset(DicomMetaDictionary.naturalizeDataset(file.dict));
  fs.writeFileSync(natural, Buffer.from(file.write()));
} catch (error) {
  console.log(error.name);
}
JAVASCRIPT
cat >"$folder/meet.py" <<'PYTHON'
import pathlib
import subprocess
import sys

from pydicom import dcmread
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, SecondaryCaptureImageStorage

folder = pathlib.Path(sys.argv[1])


def read(path: pathlib.Path, keyword: str) -> str:
    return "|".join("" if one is None else str(one) for one in dcmread(path)[keyword].value)


def again(keyword: str, three: list[str]) -> tuple[str, str, str]:
    """Return the values as written, as dcmjs writes what it has read, and the same by way of a naturalized data set."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    setattr(dataset, keyword, three)
    before, plain, natural = (folder / f"{keyword}.{name}.dcm" for name in ("before", "plain", "natural"))
    dataset.save_as(before, enforce_file_format=True)
    command = ["node", folder / "again.js", before, plain, natural]
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    return read(before, keyword), read(plain, keyword), told or read(natural, keyword)


expected = {
    "PerformingPhysicianName": (["A^1", "", "C^3"], "A^1|C^3"),
    "OtherPatientIDs": (["A", "", "C"], "A||C"),
    "ImageType": (["A", "", "C"], "A||C"),
    "SelectorISValue": (["1", "", "3"], "TypeError"),
}
still_so = True
for keyword, (three, wanted) in expected.items():
    was, same, after = again(keyword, three)
    print(f"{keyword} ({dictionary_VR(keyword)}): {was} -> {after}")
    still_so = still_so and was == same == "|".join(three) and after == wanted
sys.exit(not still_so)
PYTHON
"$folder/env/bin/python" "$folder/meet.py" "$folder"
