"""What tests need that is not a test: small real models and the set-up of the test environments."""
