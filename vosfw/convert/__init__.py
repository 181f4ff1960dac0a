"""Import of official checkpoints: ``python -m vosfw.convert SYSTEM in.pth out.safetensors``."""
