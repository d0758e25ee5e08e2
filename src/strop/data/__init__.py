"""Conversations from files, flat batches and the order in which they come."""
