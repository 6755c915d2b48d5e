"""The SCP of dicomrecon, for all its services, over what lies in a folder."""

import logging

from dicomrecon.scp.server import DicomSCP

logging.Logger.success = logging.Logger.info  # what its command line adds
scp = DicomSCP("RECON", "127.0.0.1", 11112)
scp.save_files = False
scp.enable_worklist = True
scp.known_aets = {"STORE_SCP": ("127.0.0.1", 11120)}
scp.index_dir("instances")
scp.start()
