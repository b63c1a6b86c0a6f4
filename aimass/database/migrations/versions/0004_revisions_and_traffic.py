"""Traffic between revisions: how it is split, watched, judged and learnt from."""

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    pass
