"""What AI Mass costs and what it is worth: measured against servers written by hand and against Ray's own ingress."""
