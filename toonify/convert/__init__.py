"""Public checkpoints -> our safetensors, one file a source format; and files for elsewhere."""
