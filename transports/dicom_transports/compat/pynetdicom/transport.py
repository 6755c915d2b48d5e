"""``pynetdicom.transport``: the servers."""

from dicom_transports.blocking import AssociationServer

__all__ = ["AssociationServer", "ThreadedAssociationServer"]

ThreadedAssociationServer = AssociationServer
