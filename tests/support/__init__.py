"""What the tests use and what is no test: families, recipes, runs, boxes, the local Hub."""
