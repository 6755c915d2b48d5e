"""What Alembic runs a migration with: the connection that it was given, in the transaction that it has."""

from alembic import context

from dicom_transports._archive.index.schema import METADATA

context.configure(connection=context.config.attributes["connection"], target_metadata=METADATA, transactional_ddl=False)
context.run_migrations()
