"""The model that `observers.py` makes: a captured graph, rounded as its int8 program will be."""
