"""The FastAPI half: everything that imports FastAPI, and nothing else does."""
