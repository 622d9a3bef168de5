"""How alike experts are: the paper's measure, and two more that tell where a merge may fail.

In the paper's segmentation experiment a pair of experts merges the better, the more alike their
task vectors' singular values are (correlation 0.83 of the mean score with the cosine between
them, averaged over the layers).
"""
