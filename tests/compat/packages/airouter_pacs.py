"""The storage SCP of dicom-ai-router's stand-in for a PACS, which takes its own AE title only."""

from pathlib import Path

from airouter.tools.mini_pacs import MiniPacs

pacs = MiniPacs(Path("stored"), 11112, "ANY-SCP").start()
input()
pacs.stop()
print(pacs.received)
