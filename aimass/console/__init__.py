"""The control API over HTTP: who may ask, what came in, what goes out. What is done stands in control."""
