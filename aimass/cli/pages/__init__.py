"""The shape that all pages of ``--html`` have: one style sheet, one palette, tables, figures."""
