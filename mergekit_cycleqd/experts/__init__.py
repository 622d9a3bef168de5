"""Work on a recipe's experts: copies in 16 bits, their singular directions, their similarity.

One measure of similarity is the paper's. In its segmentation experiment, pairs of experts merge
better if the singular values of their task vectors are alike: the mean score correlates by 0.83
with the cosine between them, averaged over the layers. Two more measures show where a merge may
fail.
"""
