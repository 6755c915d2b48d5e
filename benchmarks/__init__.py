"""Speed and memory, measured side by side: ``python -m benchmarks``, or ``make bench``.

Every figure stands beside others of the same run: of pynetdicom doing the same job, and of limits, which are the same
bytes copied, or the same loop in plain Python with nothing of DICOM's rules in it. Only the ratios mean something on
another machine. Needs Unix (processes are forked); pynetdicom and rich are used if they are installed.
"""
