#!/usr/bin/env bash
# dcmjs 0.51.1 does not see items that are empty: what comes behind one in its sequence moves up, in silence.
#
# Versions: dcmjs 0.51.1 (Node.js 20), pydicom 3.0.2 to make the files and to read what comes back.
# Input: files in Explicit VR Little Endian with a Procedure Code Sequence (0008,1032) of one empty item, and of three of
#   which the second is empty; with lengths, and delimited. An item may be empty (PS3.5 7.5.1), and in an identifier it is
#   how all attributes of a sequence are asked for (PS3.4 C.2.2.2.6), so every other worklist query has one.
# Likely guess: DicomMessage.readFile(...) and write() with nothing in between give the same data set back.
# Seen: the item is gone. One empty item becomes a sequence without items, "anything" where the SCU had asked for its
#   attributes; of three items the third is now the second. dcmjs-dimse reads what it receives with this function.
#
#   one empty item: 1 -> 0
#   one empty item, delimited: 1 -> 0
#   the second of three is empty: 3 -> 2
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
log.setLevel("error");
for (const name of process.argv.slice(2)) {
  const raw = fs.readFileSync(name);
  const read = data.DicomMessage.readFile(raw.buffer.slice(raw.byteOffset, raw.byteOffset + raw.length));
  fs.writeFileSync(name, Buffer.from(read.write()));
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


def code(value: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    return item


cases = {
    "one empty item": ([Dataset()], False),
    "one empty item, delimited": ([Dataset()], True),
    "the second of three is empty": ([code("1"), Dataset(), code("3")], False),
}
seen = {}
for name, (items, delimited) in cases.items():
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = "1.2.3"
    dataset.ProcedureCodeSequence = items
    dataset["ProcedureCodeSequence"].is_undefined_length = delimited
    for item in items:
        item.is_undefined_length_sequence_item = delimited
    path = folder / f"{name}.dcm"
    dataset.save_as(path, enforce_file_format=True)
    before = len(dcmread(path).ProcedureCodeSequence)
    subprocess.run(["node", folder / "again.js", path], check=True)
    seen[name] = before, len(dcmread(path).ProcedureCodeSequence)
    print(f"{name}: {seen[name][0]} -> {seen[name][1]}")
sys.exit(list(seen.values()) != [(1, 0), (1, 0), (3, 2)])
PYTHON
"$folder/env/bin/python" "$folder/meet.py" "$folder"
