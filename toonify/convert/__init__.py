"""Public checkpoints -> our safetensors, one file a source format."""
