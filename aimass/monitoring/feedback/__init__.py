"""Feedback: what became of answers, told later by whoever knows it; judged by revision, kept to learn from."""
