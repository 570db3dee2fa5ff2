"""The local page over run folders: `aha ui`. Reads runs, never writes in them; never imports torch.

catalog   which run folders there are
stages    a run's graph with states, progress and figures
curves    training curves, read again when they grow
tables    stage tables and evaluations
index     filter columns and file offsets of all samples, in a cache beside the runs
files     how one file of samples is read into the index, and followed as it grows
query     filters, and searches with a bound on time
samples   one sample as a person may see it
prompts   one prompt over several stages
api       what the page asks for
server    addresses, headers, who may ask
"""
