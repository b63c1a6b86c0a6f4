"""The gateway's side of the payload log."""
