"""What operators are decomposed into, one file for each family; `export.decompositions` is the list."""
