"""From a trained network to labelled boxes in a photo's own pixels."""
