"""The parts of a service document as pydantic models: nodes, their treatment, names."""
