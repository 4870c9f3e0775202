"""Commands for a release: hashes of weights, the lock file, and lists of dependencies."""
