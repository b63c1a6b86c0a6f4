"""How a layout runs: its steps made ready once, then run one after another, or each as soon as its inputs are there."""
