"""Data: where rows come from, what identifies them, and how they are split. Knows no model."""
