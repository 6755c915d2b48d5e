"""Speed and memory, measured side by side: ``python -m benchmarks``, or ``make bench``.

Every figure stands beside others of the same run: of DCMTK and pynetdicom doing the same job, and of limits, which are
the same bytes copied or sent, or the same loop in plain Python, with nothing of DICOM's rules in it. Only the ratios
mean something on another machine. Needs Linux (processes are forked, and ``/proc`` is read); peers and rich are used
if they are installed. What the figures are and how to read them stands in ``docs/benchmarks.md``.
"""
