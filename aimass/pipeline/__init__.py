"""The build plane's thread: recipe → trials → selection → registered versions → proposed service."""
