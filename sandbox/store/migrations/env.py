"""Alembic's entry: runs the revisions on the connection and in the transaction that `upgrade` opened."""

from __future__ import annotations

from alembic import context

from sandbox.store.tables import Row

context.configure(connection=context.config.attributes["connection"], target_metadata=Row.metadata)
with context.begin_transaction():
    context.run_migrations()
