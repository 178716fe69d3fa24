"""SavedModel export and the client of a served model."""
