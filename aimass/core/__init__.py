"""The vocabulary: ids, errors, batches, signatures, events, settings. Imports nothing else of ours."""
