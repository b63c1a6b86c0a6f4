"""Features: fitted steps between the data and a model. Knows neither models nor where versions are kept."""
