"""A judge that needs no endpoint: a few hundred kilobytes of weights, read with numpy, for English and Chinese."""
