"""Who is measured: AI Mass itself, the reference written by hand, and Ray Serve in two settings."""
