"""Parts of the reconciler that can be understood one by one: its memory, its applications, its drain."""
