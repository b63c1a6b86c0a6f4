"""What turns the members' probabilities into one set of probabilities."""

COMBINERS = {
    "mean": "aimass.ensembling.combiners.mean:MeanCombiner",
    "weighted": "aimass.ensembling.combiners.weighted:WeightedCombiner",
}
