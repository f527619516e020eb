"""Rows and vectors: the only room that knows the database and FAISS, and the only one that writes vectors."""
