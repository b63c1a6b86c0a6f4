"""What one process at a time may do, held by a row in the database."""
