"""Feedback on the control plane: journals into the database, and what is learnt from it."""
