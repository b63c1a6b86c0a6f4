"""How traffic is split by hand, and by policies that move it by themselves."""
