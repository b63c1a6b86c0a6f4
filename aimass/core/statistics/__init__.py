"""What was counted, and how surely it says something."""
