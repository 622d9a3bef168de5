"""The command `init`: a recipe drafted from models, lm-eval tasks and files of questions."""
