"""Average precision over a tree, quality of backed-off labels, reports. Knows no network."""
