"""What earlier versions made must go on meaning the same."""
