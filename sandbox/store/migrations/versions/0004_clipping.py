"""The fourth schema: of which vectors a paid query has released norms, so that later questions find them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; queries of earlier releases kept no histograms, and lend no norms."""
    op.add_column("queries", sa.Column("clipping", sa.String(64), nullable=True))
    op.create_index("ix_queries_clipping", "queries", ["grant", "version", "clipping"])
