"""What tests of Bedplate, and of applications built on it, need."""
