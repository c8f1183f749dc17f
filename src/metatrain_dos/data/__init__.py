"""From calculations to data sets, and back: grids, targets, readers, writers."""
