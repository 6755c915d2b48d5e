"""The files and directories that a user names; :mod:`~dicom_transports.apps.options.files` looks into them."""

import argparse

__all__ = ["add_arguments"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the paths, and whether directories in directories count."""
    parser.add_argument("paths", metavar="PATH", nargs="+", help="files, and directories with files")
    parser.add_argument_group("files").add_argument(
        "-r", "+r", "--recurse", action="store_true", help="look into the directories in directories as well"
    )
