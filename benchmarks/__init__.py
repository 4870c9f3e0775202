"""Speed and memory beside reference implementations, each as a ratio in one run."""
