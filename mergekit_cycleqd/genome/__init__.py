"""A model as numbers: family, terms, operators, lineage, and mergekit's form of it."""
