"""The control API's routes, one file per noun; each answers with what a verb of control returns."""
