"""One run: check the recipe, search, write the summary, and show the progress on the terminal."""
