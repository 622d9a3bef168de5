"""Publishing to the Hugging Face Hub and rebuilding from it; `hub/card` is all text of a card.

It has 18 files: the client with its errors, a file for each repository that is published, one for
each check before a push, and one for each direction of the way. Folders among them would have two
or three files each.
"""
