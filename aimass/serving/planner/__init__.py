"""The planner: which plans a graph could have, what each would cost, and which one to take. Pure arithmetic."""
