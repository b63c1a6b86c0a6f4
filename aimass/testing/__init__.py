"""One conformance kit per extension point, and fakes; shipped, so that outsiders hold their own plugins to them."""
