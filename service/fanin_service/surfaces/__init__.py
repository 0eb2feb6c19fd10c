"""Compatibility APIs: the Hugging Face Hub and S3."""
