"""Commands about single calls."""
