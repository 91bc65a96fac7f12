"""The student: the small language model that is fine-tuned (training) and asked (inference)."""
