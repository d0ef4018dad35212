"""${message}"""

from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

# A revision that removes or changes what older releases use, or allows values that they do not know
# (a state, a mode), states the oldest revision whose release still works:
# breaks_before = "0000"


def upgrade() -> None:
    op.execute("""
    """)
