"""Mutation testing of five folders by one command; `__main__.py` says how."""
