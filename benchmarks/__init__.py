"""Speed and memory beside reference implementations."""
