"""An ensemble's weights learnt from what turned out to be right, one row after another."""
