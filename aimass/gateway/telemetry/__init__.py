"""Spans of calls for OpenTelemetry; off unless the platform is told where to send them."""
