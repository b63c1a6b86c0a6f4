"""Commands for who keeps a platform running: watching it, resizing it, bringing newer code in."""
