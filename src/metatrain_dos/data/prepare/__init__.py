"""Turn the outputs of DFT codes into a data set, resumably and in parallel."""
