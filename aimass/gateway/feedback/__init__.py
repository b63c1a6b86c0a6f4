"""Feedback at the gateway: receipts of what was answered, and the door by which labels and rewards come back."""
