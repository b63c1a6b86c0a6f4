"""Model servers of others with batching as their documentation recommends it, each in a venv of its own."""
