"""The tests, one folder per package, mirroring its modules; what they share is in conftest.py and support/."""
