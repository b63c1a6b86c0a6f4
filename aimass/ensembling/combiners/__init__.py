"""What turns the members' probabilities into one set of probabilities."""

COMBINERS = {
    "mean": "aimass.ensembling.combiners.mean:MeanCombiner",
    "median": "aimass.ensembling.combiners.median:MedianCombiner",
    "rank": "aimass.ensembling.combiners.rank:RankCombiner",
    "stack": "aimass.ensembling.combiners.stack:StackCombiner",
    "vote": "aimass.ensembling.combiners.vote:VoteCombiner",
    "weighted": "aimass.ensembling.combiners.weighted:WeightedCombiner",
}
