"""What is done about a node that is slow or fails. Knows neither Ray nor the wire."""
